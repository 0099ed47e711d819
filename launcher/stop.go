package launcher

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"syscall"
	"time"

	"kvmrun/launcher/process"
	"kvmrun/launcher/vmdir"
	"kvmrun/qmp"
)

// StopOptions say how patiently a VM is stopped.
type StopOptions struct {
	// Timeout is how long the guest may take to shut down after its power
	// button was pressed. DefaultStopTimeout if zero.
	Timeout time.Duration
	// Force ends QEMU without asking the guest. QEMU still writes out what it
	// has of the guest's disks.
	Force bool
	// Note is told when a gentler way has failed. It may be nil.
	Note func(string)
}

// DefaultStopTimeout is how long a guest may take to shut down.
const DefaultStopTimeout = 30 * time.Second

// flushTime is how long QEMU may take to flush and leave before it is killed.
const flushTime = 20 * time.Second

// Stop ends a VM and returns when its QEMU and its network are gone: by the
// ACPI power button, then by QMP quit, then by SIGKILL. Of a VM that failed it
// removes the record.
func (l *Launcher) Stop(ctx context.Context, name string, o StopOptions) error {
	return during("stop "+printableName(name), l.stop(ctx, name, o))
}

func (l *Launcher) stop(ctx context.Context, name string, o StopOptions) error {
	if err := requireRoot("stop"); err != nil {
		return err
	}
	dir, err := l.dir(name)
	if err != nil {
		return err
	}
	vm, err := l.attended(ctx, dir)
	if err != nil || vm == nil {
		return err
	}
	if vm.State == Failed {
		return dir.Remove()
	}
	if err := l.finish(ctx, dir, vm, "", o); err != nil {
		return err
	}
	return l.forget(ctx, dir)
}

// finish ends a VM's QEMU and waits until its supervisor has cleaned up.
func (l *Launcher) finish(ctx context.Context, dir vmdir.Dir, vm *Details, reason string, o StopOptions) error {
	if err := dir.AskStop(reason); err != nil {
		return err
	}
	if err := l.endQEMU(ctx, dir, vm, o); err != nil {
		return err
	}
	return awaitEnd(ctx, vm.Details.Supervisor)
}

// Fail ends a VM that did not do what was expected of it, at once. Its network
// is gone when Fail returns; its record and logs stay, with the reason, as
// those of a VM that failed.
func (l *Launcher) Fail(ctx context.Context, name, reason string) error {
	op := "stop " + printableName(name)
	dir, err := l.dir(name)
	if KindOf(err) == KindNotFound {
		return nil
	}
	if err != nil {
		return during(op, err)
	}
	vm, err := l.attended(ctx, dir)
	if err != nil || vm == nil || vm.State == Failed {
		return during(op, err)
	}
	return during(op, l.finish(ctx, dir, vm, reason, StopOptions{Force: true}))
}

// forget removes the record that a VM leaves if its end did not go well. If its
// supervisor ended before its QEMU, a new one cleans up.
func (l *Launcher) forget(ctx context.Context, dir vmdir.Dir) error {
	left, err := l.look(dir)
	if err == nil && left.State == Dead {
		if err = l.adopt(ctx, dir); err == nil {
			left, err = l.look(dir)
		}
	}
	switch {
	case errors.Is(err, os.ErrNotExist):
		return nil
	case err != nil:
		return err
	case left.State == Failed:
		return dir.Remove()
	}
	return fail(KindInternal, "see "+dir.File(vmdir.SupervisorLog), "QEMU is gone but not all that belonged to it")
}

// attended makes sure that the VM has a supervisor, which will clean up. It
// returns nil if the VM is gone already, and waits until QEMU is known if the
// VM is only just starting.
func (l *Launcher) attended(ctx context.Context, dir vmdir.Dir) (*Details, error) {
	vm, err := l.look(dir)
	if err == nil && !vm.Supervised && vm.State != Failed {
		if err = l.adopt(ctx, dir); err == nil {
			vm, err = l.look(dir)
		}
	}
	if errors.Is(err, os.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	if vm.State == Starting && vm.PID == 0 {
		err = l.Watch(ctx, dir, func() (bool, error) {
			vm, err = l.look(dir)
			return vm.PID != 0 || vm.State != Starting, err
		})
		if KindOf(err) == KindEnded || errors.Is(err, os.ErrNotExist) {
			return nil, nil
		}
	}
	return &vm, err
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
	if !o.Force && vm.State != Paused {
		err := askGuest(ctx, dir, handle, o.Timeout)
		if err == nil || ctx.Err() != nil {
			return ctx.Err()
		}
		if o.Note != nil {
			o.Note(fmt.Sprintf("%s did not shut down (%v): ending QEMU", dir.Name, err))
		}
	}
	// To QEMU, SIGTERM and the monitor's quit are the same request: it flushes
	// its disks and exits. A signal needs no monitor to be free.
	if err := handle.Signal(syscall.SIGTERM); err != nil && !errors.Is(err, process.ErrGone) {
		return err
	}
	if err := waitFor(ctx, handle, flushTime); err == nil || ctx.Err() != nil {
		return ctx.Err()
	}
	if o.Note != nil {
		o.Note(fmt.Sprintf("%s: QEMU did not end within %v: killing it", dir.Name, flushTime))
	}
	if err := handle.Signal(syscall.SIGKILL); err != nil && !errors.Is(err, process.ErrGone) {
		return err
	}
	return handle.Wait(ctx)
}

// pressInterval is how often a guest's power button is pressed: one that is
// still booting misses the first.
const pressInterval = 5 * time.Second

// askGuest asks the guest to shut down and waits until QEMU has ended.
func askGuest(ctx context.Context, dir vmdir.Dir, qemu *process.Handle, limit time.Duration) error {
	ctx, cancel := context.WithTimeoutCause(ctx, limit, fmt.Errorf("not within %v", limit))
	defer cancel()
	for {
		if err := powerDown(ctx, dir); err != nil {
			// QEMU may be on its way out already.
			if waitFor(ctx, qemu, monitorTime) == nil {
				return nil
			}
			return err
		}
		err := waitFor(ctx, qemu, pressInterval)
		if err == nil {
			return nil
		}
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
	}
}

// monitorTime is how long to wait for one's turn on a VM's monitor.
const monitorTime = 2 * time.Second

// powerDown presses the guest's power button.
func powerDown(ctx context.Context, dir vmdir.Dir) error {
	ctx, cancel := context.WithTimeout(ctx, monitorTime)
	defer cancel()
	client, err := dialMonitor(ctx, dir)
	if err != nil {
		return err
	}
	defer func() { _ = client.Close() }()
	return client.Execute(ctx, "system_powerdown", nil, nil)
}

// dialMonitor opens the VM's monitor for commands.
func dialMonitor(ctx context.Context, dir vmdir.Dir) (*qmp.Client, error) {
	conn, err := dir.Dial(ctx, vmdir.MonitorSocket)
	if err != nil {
		return nil, err
	}
	return qmp.New(ctx, conn.(*net.UnixConn))
}

// waitFor waits for a process to end, for some time at most.
func waitFor(ctx context.Context, h *process.Handle, limit time.Duration) error {
	ctx, cancel := context.WithTimeoutCause(ctx, limit, fmt.Errorf("not within %v", limit))
	defer cancel()
	if err := h.Wait(ctx); err != nil {
		return context.Cause(ctx)
	}
	return nil
}

// awaitEnd waits until a process has ended.
func awaitEnd(ctx context.Context, id process.ID) error {
	h, err := process.Open(id)
	if errors.Is(err, process.ErrGone) {
		return nil
	}
	if err != nil {
		return err
	}
	defer func() { _ = h.Close() }()
	return h.Wait(ctx)
}

// StopAll stops VMs side by side and joins what failed.
func (l *Launcher) StopAll(ctx context.Context, names []string, o StopOptions) error {
	errs := make([]error, len(names))
	done := make(chan struct{})
	for i, name := range names {
		go func() {
			errs[i] = l.Stop(ctx, name, o)
			done <- struct{}{}
		}()
	}
	for range names {
		<-done
	}
	return errors.Join(errs...)
}

// printableName is a name for messages, however long or strange it is.
func printableName(name string) string {
	if CheckName(name) == nil {
		return name
	}
	return fmt.Sprintf("%.40q", name)
}
