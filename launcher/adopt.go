package launcher

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"syscall"
	"time"

	"kvmrun/launcher/process"
	"kvmrun/launcher/vmdir"
)

// Leave is the signal upon which a supervisor lets go of its VM, which runs on,
// and ends. One that does not know it takes no notice, as Go's runtime catches it,
// and is killed after leaveTime.
const Leave = syscall.SIGUSR2

// HomeInterval is how often a supervisor makes sure that its VM's folder is still
// there. One that vanished with the run directory is back within about that time.
const HomeInterval = 2 * time.Second

// Adopt replaces the VM's supervisor, if it has one, by a new one of this
// Launcher's executable. The VM runs on and notices nothing. Of a VM whose QEMU
// is gone it undoes what is left. The record of a VM that failed is left alone.
func (l *Launcher) Adopt(ctx context.Context, name string) error {
	return during("adopt "+printableName(name), l.replace(ctx, name))
}

// AdoptEach adopts VMs side by side and joins what failed.
func (l *Launcher) AdoptEach(ctx context.Context, names []string) error {
	return sideBySide(names, func(name string) error { return l.Adopt(ctx, name) })
}

// AdoptAll adopts every VM but the records of those that failed. One that ends
// meanwhile is no failure.
func (l *Launcher) AdoptAll(ctx context.Context) error {
	names, err := l.root.Names()
	if err != nil {
		return during("adopt", err)
	}
	return sideBySide(names, func(name string) error {
		err := l.Adopt(ctx, name)
		if kind := KindOf(err); kind == KindEnded || kind == KindNotFound {
			return nil
		}
		return err
	})
}

func (l *Launcher) replace(ctx context.Context, name string) error {
	if err := requireRoot("adopt"); err != nil {
		return err
	}
	dir, err := l.dir(name)
	if err != nil {
		return err
	}
	vm, err := l.look(dir)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return noSuchVM(name)
	case err != nil:
		return err
	case vm.State == Failed && vm.Details.Leftover == "":
		return fail(KindEnded, "see kvmrun logs "+name, "the VM has ended: %s", vm.Reason)
	case vm.State == Starting && vm.Supervised:
		if _, err := l.WaitFor(ctx, vm.VM, WaitRunning); err != nil {
			return err
		}
		if vm, err = l.lookFor(dir, vm.Run); err != nil {
			return ended(dir, err)
		}
	}
	supervisor, err := l.hire() // before the other goes, so that the VM is alone for a moment only
	if err != nil {
		return err
	}
	defer supervisor.close()
	if ctx.Err() != nil {
		return ctx.Err()
	}
	// From here on the VM would be left alone by whoever gave up.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), undoTime)
	defer cancel()
	lock, err := l.takeOver(ctx, dir, vm.Run)
	if err != nil {
		return ended(dir, err)
	}
	return l.handOver(ctx, dir, supervisor, lock)
}

// leaveTime is how long a supervisor may take to let go before it is killed,
// which does its VM no harm either.
const leaveTime = 2 * time.Second

// takeOver has a VM's supervisor leave and returns the VM's lock. Somebody else
// may put another in its place first, which has to leave as well.
func (l *Launcher) takeOver(ctx context.Context, dir vmdir.Dir, run string) (*os.File, error) {
	for attempt := 1; ; attempt++ {
		vm, err := l.lookFor(dir, run)
		if err != nil {
			return nil, err
		}
		handle, err := process.Open(vm.Details.Supervisor)
		if err == nil {
			err = errors.Join(endSupervisor(ctx, handle), handle.Close())
		}
		if err != nil && !errors.Is(err, process.ErrGone) {
			return nil, err
		}
		lock, err := claim(ctx, dir)
		if KindOf(err) != KindExists || attempt == maxAdoptions {
			return lock, err
		}
	}
}

// endSupervisor has a supervisor leave, or kills one that does not.
func endSupervisor(ctx context.Context, h *process.Handle) error {
	if err := h.Signal(Leave); err != nil {
		return err
	}
	if waitFor(ctx, h, leaveTime) == nil || ctx.Err() != nil {
		return ctx.Err()
	}
	if err := h.Signal(syscall.SIGKILL); err != nil {
		return err
	}
	return h.Wait(ctx)
}

// adopt puts a supervisor on a VM that has none. If QEMU is gone, the
// supervisor's first act is to clean up, and adopt returns after that.
func (l *Launcher) adopt(ctx context.Context, dir vmdir.Dir) error {
	lock, err := dir.Supervise()
	if errors.Is(err, vmdir.ErrSupervised) || errors.Is(err, fs.ErrNotExist) {
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
	return l.handOver(ctx, dir, supervisor, lock)
}

// handOver gives a VM and its lock to a supervisor that has just been hired.
func (l *Launcher) handOver(ctx context.Context, dir vmdir.Dir, supervisor *attendant, lock *os.File) error {
	if err := supervisor.order(l.adoption(dir), lock, nil); err != nil {
		return fmt.Errorf("adopt %s: %w", dir.Name, err)
	}
	err := supervisor.await(ctx, dir)
	if errors.Is(err, errLost) {
		return nil // it was killed: the VM is as it was
	}
	return err
}

// adoption is the order to take a VM over.
func (l *Launcher) adoption(dir vmdir.Dir) Order {
	return Order{Mode: ModeAdopt, RunDir: l.root.Path, DataDir: l.data, Name: dir.Name}
}

// lookAgain is the pause before a fact is looked at again that the kernel tells
// nobody about, such as a lock's being free.
const lookAgain = 2 * time.Millisecond

// Sleep returns the context's error if that ends first.
func Sleep(ctx context.Context, d time.Duration) error {
	select {
	case <-time.After(d):
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
