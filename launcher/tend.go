package launcher

import (
	"context"
	"errors"
	"io/fs"
	"slices"
	"strings"
	"sync"

	"kvmrun/launcher/vmdir"
)

// unattended lists the VMs that somebody should look after and nobody does: those
// whose supervisor was killed, and those of which not all could be undone. A VM
// that is all right costs one look at its lock.
func (l *Launcher) unattended() ([]Details, error) {
	names, err := l.root.Names()
	if err != nil {
		return nil, err
	}
	var mu sync.Mutex
	var found []Details
	var errs []error
	each(len(names), func(i int) {
		vm, alone, err := l.lookUnattended(l.root.Dir(names[i]))
		mu.Lock()
		defer mu.Unlock()
		switch {
		case errors.Is(err, fs.ErrNotExist): // it ends just now
		case err != nil:
			errs = append(errs, during("look at "+printableName(names[i]), err))
		case alone:
			found = append(found, vm)
		}
	})
	slices.SortFunc(found, func(a, b Details) int { return strings.Compare(a.Name, b.Name) })
	return found, errors.Join(errs...)
}

func (l *Launcher) lookUnattended(dir vmdir.Dir) (vm Details, alone bool, err error) {
	if supervised, err := dir.Supervised(); err != nil || supervised {
		return vm, false, err
	}
	vm, err = l.look(dir)
	return vm, err == nil && !vm.Supervised && (vm.State != Failed || vm.Details.Leftover != ""), err
}

// tend puts a supervisor on each VM that should have one. It does not wait for
// what these have to do.
func (l *Launcher) tend() {
	alone, _ := l.unattended() // gc and list tell of what cannot be read
	for _, vm := range alone {
		if vm.State != Failed { // what could not be undone is for GC to try again
			_ = l.attend(l.root.Dir(vm.Name))
		}
	}
}

// attend is adopt for who does not wait.
func (l *Launcher) attend(dir vmdir.Dir) error {
	lock, err := dir.Supervise()
	if err != nil {
		return err
	}
	supervisor, err := l.hire()
	if err != nil {
		return errors.Join(err, lock.Close())
	}
	defer supervisor.close()
	return supervisor.order(l.adoption(dir), lock, nil)
}

// Alone tells whether the VM should have a supervisor and has none, and which
// phase it is in: Failed if not all could be undone.
func (l *Launcher) Alone(name string) (phase Phase, alone bool, err error) {
	vm, alone, err := l.lookUnattended(l.root.Dir(name))
	return vm.State, alone, ignoreGone(err)
}

// Attend puts a supervisor on the VM if it should have one and has none, and tells
// whether it did. It does not wait for what that one has to do.
func (l *Launcher) Attend(name string) (bool, error) {
	dir := l.root.Dir(name)
	_, alone, err := l.lookUnattended(dir)
	if err != nil || !alone {
		return false, ignoreGone(err)
	}
	err = l.attend(dir)
	if errors.Is(err, vmdir.ErrSupervised) || errors.Is(err, fs.ErrNotExist) {
		return false, nil // somebody else was quicker
	}
	return err == nil, during("attend to "+printableName(name), err)
}

// attendBeside is Attend for commands that are about something else.
func (l *Launcher) attendBeside(name string) { _, _ = l.Attend(name) }

func ignoreGone(err error) error {
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
}

// tidy does for a start what GC does, as far as it takes no time: whoever starts a
// VM finds the host as if nobody had ever been killed. What cannot be tidied up
// does not keep a VM from starting; GC tells.
func (l *Launcher) tidy(ctx context.Context) {
	l.tend()
	_, _ = l.sweep(ctx, false)
}
