package launcher

import (
	"context"
	"errors"

	"kvmrun/launcher/process"
	"kvmrun/netplumb"
)

// sweepMarked deals with what bears kvmrun's marks and belongs to no VM that is
// recorded.
func (l *Launcher) sweepMarked(ctx context.Context, o GCOptions) ([]Leftover, error) {
	host, err := netplumb.OpenHost(l.root.Net())
	if err != nil {
		return nil, err
	}
	defer func() { _ = host.Close() }()
	strangers, err := l.strangers(host)
	if err != nil || len(strangers) == 0 {
		return nil, err
	}
	if !o.Unrecorded || o.DryRun {
		return listMarked(strangers, o.Unrecorded), nil
	}
	// A supervisor may just be about to write down anew what was lost.
	if err := Sleep(ctx, 2*HomeInterval); err != nil {
		return nil, err
	}
	if strangers, err = l.strangers(host); err != nil {
		return nil, err
	}
	for _, m := range strangers {
		err = errors.Join(err, endOwner(ctx, m, o.note))
	}
	found, err2 := l.removeMarked(ctx, host)
	return found, errors.Join(err, err2)
}

func listMarked(strangers []netplumb.Marked, remove bool) []Leftover {
	action := ActionLeave
	if remove {
		action = ActionRemove
	}
	found := make([]Leftover, len(strangers))
	for i, m := range strangers {
		found[i] = Leftover{What: m.String() + unrecorded, Action: action}
	}
	return found
}

const unrecorded = ", of which there is no record"

// removeMarked looks once more and removes, under the run directory's lock: what
// belongs to no VM then does not come to belong to one meanwhile.
func (l *Launcher) removeMarked(ctx context.Context, host *netplumb.Host) ([]Leftover, error) {
	if err := l.makeRoot(); err != nil {
		return nil, err
	}
	guard, err := l.root.Lock(ctx)
	if err != nil {
		return nil, err
	}
	defer func() { _ = guard.Close() }()
	strangers, err := l.strangers(host)
	errs := []error{err}
	var found []Leftover
	for _, m := range strangers {
		one, err := attempt(false, m.String()+unrecorded, ActionRemove, func() error { return host.Remove(m) })
		found, errs = append(found, one), append(errs, err)
	}
	return found, errors.Join(errs...)
}

// strangers lists what bears kvmrun's marks and belongs to no VM that has a
// folder. First the marks, then the folders: a VM is written down before it has
// anything.
func (l *Launcher) strangers(host *netplumb.Host) ([]netplumb.Marked, error) {
	marked, err := host.Marked()
	if err != nil || len(marked) == 0 {
		return nil, err
	}
	names, err := l.root.Names()
	if err != nil {
		return nil, err
	}
	known := map[string]bool{} // UUIDs
	for _, name := range names {
		vm, err := l.look(l.root.Dir(name))
		if err == nil {
			known[vm.UUID] = true
		} else if ignoreGone(err) != nil {
			return nil, nil // it cannot be told what is whose, and adoptAll tells why
		}
	}
	leased := l.holders()
	var strangers []netplumb.Marked
	for _, m := range marked {
		switch m.Kind {
		case netplumb.MarkedTap:
			uuid, ours := tapOwner(m.Alias)
			if ours && known[uuid] {
				continue
			}
		case netplumb.MarkedProxy:
			if leased(m.Address) {
				continue
			}
		case netplumb.MarkedAlias:
			if recorded, err := host.Recorded(m); err != nil || recorded {
				continue
			}
		}
		strangers = append(strangers, m)
	}
	return strangers, nil
}

// endOwner ends the QEMU of a tap of which there is no record.
func endOwner(ctx context.Context, m netplumb.Marked, note func(string)) error {
	uuid, ours := tapOwner(m.Alias)
	if !ours {
		return nil
	}
	id, err := process.Search(process.SharesNetwork, "-uuid", uuid)
	if errors.Is(err, process.ErrGone) {
		return nil
	}
	if err != nil {
		return err
	}
	handle, err := process.Open(id)
	if errors.Is(err, process.ErrGone) {
		return nil
	}
	if err != nil {
		return err
	}
	defer func() { _ = handle.Close() }()
	return EndQEMU(ctx, handle, note)
}
