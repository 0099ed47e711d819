package launcher

import (
	"context"
	"syscall"
	"time"

	"kvmrun/launcher/process"
	"kvmrun/launcher/vmdir"
)

// listens tells whether the guest runs, so that it can be asked. One that stands
// still because a disk was full may go on by now, and write what it has to.
func (l *Launcher) listens(ctx context.Context, dir vmdir.Dir, vm *Details, o StopOptions) bool {
	if vm.State != Paused {
		return true
	}
	if vm.Reason == "" {
		return false // somebody wanted it to stand still
	}
	ctx, cancel := context.WithTimeout(ctx, o.Timeout)
	defer cancel()
	if err := l.askThisOne(ctx, dir, vm, resumeRequest); err != nil {
		o.note("%s stands still and cannot write what it has to: %v: ending QEMU", dir.Name, err)
		return false
	}
	return true
}

// pressInterval is how often a guest's power button is pressed: one that is
// still booting misses the first.
const pressInterval = 5 * time.Second

// PowerButton is the signal by which a supervisor is told to press the guest's
// power button. It does so on a monitor of its own, which nobody can occupy.
const PowerButton = syscall.SIGPWR

// askGuest asks the guest to shut down and waits until QEMU has ended. It fails
// with process.ErrGone if there is no supervisor to do it.
func askGuest(ctx context.Context, vm *Details, qemu *process.Handle, limit time.Duration) error {
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	for {
		if err := press(vm.Details.Supervisor); err != nil {
			return err
		}
		if waitFor(ctx, qemu, pressInterval) == nil {
			return nil
		}
		if ctx.Err() != nil {
			return ctx.Err()
		}
	}
}

// press tells a supervisor to press the power button.
func press(supervisor process.ID) error {
	handle, err := process.Open(supervisor)
	if err != nil {
		return err
	}
	defer func() { _ = handle.Close() }()
	return handle.Signal(PowerButton)
}
