package launcher

import (
	"context"
	"errors"
	"fmt"
	"os"

	"kvmrun/launcher/vmdir"
)

// StartOptions say how long Start stays.
type StartOptions struct {
	// Detach returns as soon as a supervisor has the VM, before QEMU runs.
	Detach bool
	// Note is told what was chosen that the user may not expect, such as TCG
	// in place of KVM. It may be nil.
	Note func(string)

	again bool // the VM was stopped to be started again
}

func (o StartOptions) note(format string, args ...any) {
	if o.Note != nil {
		o.Note(fmt.Sprintf(format, args...))
	}
}

// Start starts a VM and returns when QEMU runs and the network stands. If it
// fails, or the context ends first, everything is undone before it returns;
// the record of a VM whose QEMU failed stays for Inspect and its logs, as does
// that of any VM that fails after a detached start.
func (l *Launcher) Start(ctx context.Context, spec Spec, o StartOptions) (VM, error) {
	op := "start"
	if spec.Name != "" {
		op = "start " + printableName(spec.Name)
	}
	if err := requireRoot("start"); err != nil {
		return VM{}, during(op, err)
	}
	supervisor, err := l.hire()
	if err != nil {
		return VM{}, during(op, err)
	}
	defer supervisor.close()
	d, err := l.draft(spec)
	if err != nil {
		return VM{}, during(op, err)
	}
	defer d.close()
	for _, note := range d.notes {
		o.note("%s", note)
	}
	folder, err := l.place(ctx, d)
	if err != nil {
		return VM{}, during(op, err)
	}
	op = "start " + folder.Dir.Name
	if err := l.settleAddress(ctx, d, folder, o); err != nil {
		return VM{}, during(op, errors.Join(err, l.unreserve(d, folder)))
	}
	if err := l.keepDisks(ctx, d, folder, o); err != nil {
		return VM{}, during(op, errors.Join(err, d.dropDisks(), l.unreserve(d, folder)))
	}
	vm, err := l.launch(ctx, supervisor, folder, d, o)
	return vm, during(op, err)
}

// launch hands a VM that has its folder to a supervisor.
func (l *Launcher) launch(ctx context.Context, supervisor *attendant, folder vmdir.New, d *draft, o StartOptions) (VM, error) {
	spec := &d.spec
	dir := folder.Dir
	tidied := make(chan struct{})
	go func() {
		defer close(tidied)
		l.tidy(ctx)
	}()
	defer func() { <-tidied }()
	order := Order{Mode: ModeLaunch, RunDir: l.root.Path, DataDir: l.data, Name: dir.Name, Detached: o.Detach, Again: o.again}
	if err := supervisor.order(order, folder.Lock, d.handOverDisks()); err != nil {
		return VM{}, errors.Join(err, l.end(context.WithoutCancel(ctx), dir, spec.ID(), "", StopOptions{Force: true}))
	}
	if !o.Detach {
		err := supervisor.await(ctx, dir)
		if errors.Is(err, errLost) {
			err = l.endLost(ctx, dir, spec.ID())
		}
		if err != nil {
			return VM{}, err
		}
	}
	now, err := l.lookMended(ctx, dir, spec.ID())
	switch {
	case !errors.Is(err, os.ErrNotExist):
		return now.VM, err
	case o.Detach: // it has ended already
		return spec.view(), nil
	}
	return VM{}, ended(dir, err)
}

// endLost undoes a start whose supervisor was killed meanwhile.
func (l *Launcher) endLost(ctx context.Context, dir vmdir.Dir, run string) error {
	undo, cancel := context.WithTimeout(context.WithoutCancel(ctx), undoTime)
	defer cancel()
	if err := l.end(undo, dir, run, "", StopOptions{Force: true}); err != nil {
		return fail(KindInternal, "stop it", "its supervisor was killed, and not all could be undone: %w", err)
	}
	if err := abandoned(ctx, Report{Over: true}); err != nil {
		return err
	}
	return fail(KindInternal, "start it again", "its supervisor was killed; everything is undone")
}

// place makes the run directory and reserves the VM's folder in it. What dead
// VMs with the name or the address that is wanted left on the host is cleaned up
// first.
func (l *Launcher) place(ctx context.Context, d *draft) (vmdir.New, error) {
	if err := errors.Join(l.makeRoot(), l.openIdentity(d)); err != nil {
		return vmdir.New{}, err
	}
	inTheWay := []string{d.spec.Name}
	if ip := d.spec.Network.IP; ip.IsValid() {
		inTheWay = append(inTheWay, l.root.Holder(leaseIP+ip.String()))
	}
	for _, name := range inTheWay {
		if name == "" {
			continue
		}
		dir := l.root.Dir(name)
		if was, err := l.look(dir); err == nil && (was.State == Dead || was.Details.Leftover != "") {
			if err := l.adopt(ctx, dir); err != nil {
				return vmdir.New{}, err
			}
		}
	}
	return l.reserve(ctx, d)
}
