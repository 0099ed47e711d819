package launcher

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"sync"
	"syscall"
	"time"

	"kvmrun/launcher/process"
	"kvmrun/launcher/vmdir"
)

// StopOptions say how patiently a VM is stopped.
type StopOptions struct {
	// Timeout is how long the guest may take to shut down after its power
	// button was pressed. DefaultStopTimeout if zero.
	Timeout time.Duration
	// Force ends QEMU without asking the guest. QEMU still writes out what it
	// has of the guest's disks.
	Force bool
	// Only is the VM that is meant, as Start or Inspect returned it. Another that has
	// its name by now is left alone, and counts as none, and so is the same machine that
	// was started again. If zero, the VM is whichever has the name.
	Only VM
	// Note is told when a gentler way has failed. It may be nil.
	Note func(string)

	crowd *crowd // the VMs that are stopped together; nil for one alone
}

func (o StopOptions) note(format string, args ...any) {
	if o.Note != nil {
		o.Note(fmt.Sprintf(format, args...))
	}
}

// DefaultStopTimeout is how long a guest may take to shut down.
const DefaultStopTimeout = 30 * time.Second

// Stop ends a VM and returns when its QEMU and its network are gone: by the
// ACPI power button, then as EndQEMU does. Of a VM that failed it removes the
// record. Of several Stops at once each returns when the VM is gone.
func (l *Launcher) Stop(ctx context.Context, name string, o StopOptions) error {
	return during("stop "+printableName(name), l.stop(ctx, name, o))
}

func (l *Launcher) stop(ctx context.Context, name string, o StopOptions) error {
	if err := requireRoot("stop"); err != nil {
		return err
	}
	if o.Only.Run != "" && CheckName(name) == nil {
		if err := l.awaitHome(ctx, l.root.Dir(name), o.Only); err != nil {
			return err
		}
	}
	dir, err := l.dir(name)
	if err != nil {
		return err
	}
	vm, err := l.lookMended(ctx, dir, o.Only.Run)
	if errors.Is(err, fs.ErrNotExist) {
		return noSuchVM(name)
	}
	if err != nil {
		return err
	}
	return l.end(ctx, dir, vm.Run, "", o)
}

// Fail ends the VM that is vm, which did not do what was expected of
// it, at once. Its network is gone when Fail returns; its record and logs stay, with
// the reason, as those of a VM that failed. One that has ended, or whose name another
// has by now, is no error.
func (l *Launcher) Fail(ctx context.Context, vm VM, reason string) error {
	return during("stop "+printableName(vm.Name), l.fail(ctx, vm, reason))
}

func (l *Launcher) fail(ctx context.Context, vm VM, reason string) error {
	if err := CheckName(vm.Name); err != nil {
		return err
	}
	dir := l.root.Dir(vm.Name)
	if err := l.awaitHome(ctx, dir, vm); err != nil {
		return err
	}
	now, err := l.lookMended(ctx, dir, vm.Run)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	return l.end(ctx, dir, now.Run, reason, StopOptions{Force: true})
}

// maxAdoptions is how many supervisors may die on a VM before end gives up.
const maxAdoptions = 3

// end brings a VM to its end, wherever it is now and whatever others do with it
// meanwhile: it looks, takes the next step, and looks again, until this
// start of the VM is gone. With a reason, the record of a VM that failed stays.
func (l *Launcher) end(ctx context.Context, dir vmdir.Dir, run, reason string, o StopOptions) error {
	for adoptions := 0; ; {
		vm, err := l.lookMended(ctx, dir, run)
		switch {
		case errors.Is(err, fs.ErrNotExist):
			return nil
		case err != nil:
			return err
		case vm.Supervised && vm.State != Failed:
			if err := l.endSupervised(ctx, dir, &vm, reason, o); err != nil {
				return err
			}
			continue
		case vm.State == Failed && vm.Details.Leftover == "":
			if reason != "" {
				return nil
			}
			return l.removeRecord(ctx, dir, run)
		case vm.Supervised: // for a moment still
			if err := awaitSupervisor(ctx, dir, &vm, o); err != nil {
				return err
			}
			continue
		case adoptions == maxAdoptions:
			return fail(KindInternal, "see "+dir.File(vmdir.SupervisorLog), "not all that belongs to it could be undone: %s", vm.Reason)
		}
		adoptions++
		if vm.State == Dead || vm.State == Failed {
			o.mark(dir, run, reason)
		}
		if err := l.adopt(ctx, dir); err != nil {
			return err
		}
	}
}

// endSupervised ends the QEMU of a VM that somebody looks after, and waits until
// that one has cleaned up.
func (l *Launcher) endSupervised(ctx context.Context, dir vmdir.Dir, vm *Details, reason string, o StopOptions) error {
	if vm.State == Starting && vm.PID == 0 {
		return l.awaitQEMU(ctx, dir, vm.Run)
	}
	o.mark(dir, vm.Run, reason)
	if err := l.endQEMU(ctx, dir, vm, o); err != nil {
		if vm.Details.QEMU.Alive() {
			err = errors.Join(err, unmark(dir, vm.Run))
		}
		return err
	}
	return awaitSupervisor(ctx, dir, vm, o)
}

// awaitQEMU waits until the QEMU of a VM that is only just starting is known.
func (l *Launcher) awaitQEMU(ctx context.Context, dir vmdir.Dir, run string) error {
	err := l.watch(ctx, dir, run, func(vm *Details) (bool, error) {
		return vm != nil && (vm.PID != 0 || vm.State != Starting || !vm.Supervised), nil
	})
	if KindOf(err) == KindEnded {
		return nil
	}
	return err
}

// awaitSupervisor waits until a supervisor has undone what belongs to a VM
// whose QEMU is gone. One that does not is killed: another can take its place.
func awaitSupervisor(ctx context.Context, dir vmdir.Dir, vm *Details, o StopOptions) error {
	handle, err := process.Open(vm.Details.Supervisor)
	if errors.Is(err, process.ErrGone) {
		return Sleep(ctx, lookAgain) // a new one has not yet said who it is
	}
	if err != nil {
		return err
	}
	defer func() { _ = handle.Close() }()
	if waitFor(ctx, handle, undoTime) == nil || ctx.Err() != nil {
		return ctx.Err()
	}
	o.note("%s: its supervisor does not clean up within %v: replacing it", dir.Name, undoTime)
	if err := signal(handle, syscall.SIGKILL); err != nil {
		return err
	}
	return handle.Wait(ctx)
}

// endQEMU goes from the gentlest way to end QEMU to the surest.
func (l *Launcher) endQEMU(ctx context.Context, dir vmdir.Dir, vm *Details, o StopOptions) error {
	setDefault(&o.Timeout, DefaultStopTimeout)
	handle, err := process.Open(vm.Details.QEMU)
	if errors.Is(err, process.ErrGone) {
		return nil
	}
	if err != nil {
		return err
	}
	defer func() { _ = handle.Close() }()
	if !o.Force && l.listens(ctx, dir, vm, o) {
		err := askGuest(ctx, vm, handle, o.Timeout)
		if err == nil || ctx.Err() != nil {
			return ctx.Err()
		}
		if errors.Is(err, process.ErrGone) {
			return nil // the supervisor is gone: another is needed
		}
		o.note("%s did not shut down within %v: ending QEMU", dir.Name, o.Timeout)
	}
	if err := o.crowd.ask(handle, vm.Details.Plan); err != nil {
		return err
	}
	return awaitEnd(ctx, handle, func(what string) { o.note("%s: %s", dir.Name, what) })
}

// waitFor waits for a process to end, for some time at most.
func waitFor(ctx context.Context, h *process.Handle, limit time.Duration) error {
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	return h.Wait(ctx)
}

// StopEach stops VMs side by side and joins what failed. Others that it finds
// without a supervisor get one.
func (l *Launcher) StopEach(ctx context.Context, names []string, o StopOptions) error {
	return l.stopEach(names, o, func(name string, o StopOptions) error { return l.Stop(ctx, name, o) })
}

// StopAll stops every VM, and removes the records of those that failed. One that
// ends by itself meanwhile is no failure.
func (l *Launcher) StopAll(ctx context.Context, o StopOptions) error {
	names, err := l.Names()
	if err != nil {
		return err
	}
	return l.stopEach(names, o, func(name string, o StopOptions) error {
		err := l.Stop(ctx, name, o)
		if KindOf(err) == KindNotFound {
			return nil
		}
		return err
	})
}

// stopEach stops VMs side by side, as one crowd.
func (l *Launcher) stopEach(names []string, o StopOptions, stop func(name string, o StopOptions) error) error {
	defer l.tend()
	o.crowd = l.gather(len(names))
	defer o.crowd.disperse()
	return sideBySide(names, func(name string) error { return stop(name, o) })
}

// sideBySide does something with each VM, all at once, and joins what failed.
func sideBySide(names []string, do func(name string) error) error {
	errs := make([]error, len(names))
	var all sync.WaitGroup
	for i, name := range names {
		all.Go(func() { errs[i] = do(name) })
	}
	all.Wait()
	return errors.Join(errs...)
}
