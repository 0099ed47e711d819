package launcher

import (
	"context"
	"errors"
	"syscall"
	"time"

	"kvmrun/launcher/process"
)

// FlushTime is how long QEMU may do nothing after SIGTERM before it is killed.
const FlushTime = 20 * time.Second

// patientTime is after how long it is said that QEMU still writes.
const patientTime = 30 * time.Second

// EndQEMU ends QEMU and waits until it is gone. To QEMU, SIGTERM and the
// monitor's quit are the same request: it flushes its disks and exits (QEMU:
// os-posix.c, termsig_handler); a signal needs no monitor to be free. However
// long that takes, QEMU is not disturbed as long as it makes progress: only one
// that has made none for FlushTime is killed. One that cannot make any, as a
// debugger or its control group has stopped it, or that must not be looked at, is
// waited for as well. note is told what takes long, and of the kill.
func EndQEMU(ctx context.Context, qemu *process.Handle, note func(string)) error {
	if err := askQEMU(qemu); err != nil {
		return err
	}
	return awaitEnd(ctx, qemu, note)
}

// awaitEnd waits for the end of a QEMU that was asked.
func awaitEnd(ctx context.Context, qemu *process.Handle, note func(string)) error {
	slow := time.AfterFunc(patientTime, func() { note("QEMU still writes out its disks: waiting for it") })
	defer slow.Stop()
	said := map[string]bool{}
	kept := func(how string) {
		if !said[how] {
			said[how] = true
			note("QEMU " + how + ": waiting for it")
		}
	}
	if err := qemu.WaitWhileBusy(ctx, FlushTime, kept); !errors.Is(err, process.ErrIdle) {
		return err
	}
	note("QEMU has not ended and does nothing for " + FlushTime.String() + ": killing it")
	if err := signal(qemu, syscall.SIGKILL); err != nil {
		return err
	}
	return qemu.Wait(ctx)
}

// askQEMU sends the request to end. A QEMU that a signal has stopped could still
// flush: it is made to go on.
func askQEMU(qemu *process.Handle) error {
	return errors.Join(signal(qemu, syscall.SIGTERM), signal(qemu, syscall.SIGCONT))
}

// signal sends a signal to a process that may have ended.
func signal(h *process.Handle, sig syscall.Signal) error {
	if err := h.Signal(sig); err != nil && !errors.Is(err, process.ErrGone) {
		return err
	}
	return nil
}
