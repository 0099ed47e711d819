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
}

// Start starts a VM and returns when QEMU runs and the network stands. If it
// fails, or the context ends first, everything is undone before it returns;
// the record of a VM whose QEMU failed stays for Inspect and its logs.
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
	if o.Note != nil {
		for _, note := range d.notes {
			o.Note(note)
		}
	}
	dir, lock, err := l.place(ctx, d)
	if err != nil {
		return VM{}, during(op, err)
	}
	op = "start " + dir.Name
	order := Order{Mode: ModeLaunch, RunDir: l.root.Path, DataDir: l.data, Name: dir.Name, Detached: o.Detach}
	if err := supervisor.order(order, lock); err != nil {
		return VM{}, during(op, errors.Join(err, Release(l.root, &d.spec)))
	}
	if !o.Detach {
		if err := supervisor.await(ctx, dir); err != nil {
			return VM{}, during(op, err)
		}
	}
	details, err := l.look(dir)
	return details.VM, during(op, err)
}

// place makes the run directory and reserves the VM's folder in it. What a
// dead VM of the same name left on the host is cleaned up first.
func (l *Launcher) place(ctx context.Context, d *draft) (vmdir.Dir, *os.File, error) {
	if err := l.makeRoot(); err != nil {
		return vmdir.Dir{}, nil, err
	}
	if d.spec.Name != "" {
		dir := l.root.Dir(d.spec.Name)
		if was, err := l.look(dir); err == nil && was.State == Dead {
			if err := l.adopt(ctx, dir); err != nil {
				return vmdir.Dir{}, nil, err
			}
		}
	}
	return l.reserve(d)
}

// adopt puts a supervisor on a VM that has none. If QEMU is gone, the
// supervisor's first act is to clean up, and adopt returns after that.
func (l *Launcher) adopt(ctx context.Context, dir vmdir.Dir) error {
	lock, err := dir.Supervise()
	if errors.Is(err, vmdir.ErrSupervised) || errors.Is(err, os.ErrNotExist) {
		return nil // somebody else was quicker
	}
	if err != nil {
		return err
	}
	supervisor, err := l.hire()
	if err != nil {
		return errors.Join(err, lock.Close())
	}
	defer supervisor.close()
	order := Order{Mode: ModeAdopt, RunDir: l.root.Path, DataDir: l.data, Name: dir.Name}
	if err := supervisor.order(order, lock); err != nil {
		return fmt.Errorf("adopt %s: %w", dir.Name, err)
	}
	return supervisor.await(ctx, dir)
}
