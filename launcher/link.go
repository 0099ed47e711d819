package launcher

import "context"

// The states of a link, as users write them.
const (
	LinkUp   = "up"
	LinkDown = "down"
)

// SetLink raises the link of the guest's network card or takes it down, as if a cable
// were put in or pulled out, and returns when QEMU has done so. A link that is so
// already is left alone. It stays so until it is set again or the VM ends. It fails as
// Resume does.
func (l *Launcher) SetLink(ctx context.Context, name, link string) error {
	switch link {
	case LinkUp:
		return l.ask(ctx, "set", name, plugInRequest)
	case LinkDown:
		return l.ask(ctx, "set", name, unplugRequest)
	}
	return fail(KindUsage, "choose one of up, down", "--link has no choice %.20q", link)
}

// SetLinkAll sets the links of VMs side by side and joins what failed.
func (l *Launcher) SetLinkAll(ctx context.Context, names []string, link string) error {
	return sideBySide(names, func(name string) error { return l.SetLink(ctx, name, link) })
}
