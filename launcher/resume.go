package launcher

import (
	"context"
	"errors"
	"syscall"

	"kvmrun/launcher/process"
	"kvmrun/launcher/vmdir"
)

// WakeUp is the signal by which a supervisor is told to let the guest go on. It
// does so on a monitor of its own, which nobody can occupy.
const WakeUp = syscall.SIGUSR1

// Resume lets a guest that stands still go on, and returns when it runs. If it
// stands still again at once, because a disk is as full as before, that is an
// error of KindStorage. A guest that runs is left alone. It fails with KindEnded
// if the VM has ended, and with KindQEMU if QEMU refuses or does not answer.
func (l *Launcher) Resume(ctx context.Context, name string) error {
	op := "resume " + printableName(name)
	dir, err := l.dir(name)
	if err != nil {
		return during(op, err)
	}
	err = l.resume(ctx, dir)
	if errors.Is(err, context.DeadlineExceeded) {
		err = fail(KindTimeout, "see "+dir.File(vmdir.SupervisorLog), "QEMU has not answered in time")
	}
	return during(op, err)
}

// ResumeAll resumes VMs side by side and joins what failed.
func (l *Launcher) ResumeAll(ctx context.Context, names []string) error {
	return sideBySide(names, func(name string) error { return l.Resume(ctx, name) })
}

// resume asks the VM's supervisor, or a new one if it has none or loses it
// meanwhile.
func (l *Launcher) resume(ctx context.Context, dir vmdir.Dir) error {
	for range maxAdoptions {
		vm, err := l.look(dir)
		if err != nil {
			return ended(dir, err)
		}
		if err := l.over(dir); err != nil {
			return err
		}
		if !vm.Supervised {
			if err := l.adopt(ctx, dir); err != nil {
				return err
			}
			continue
		}
		err = l.wake(ctx, dir, &vm)
		if !errors.Is(err, process.ErrGone) {
			return err
		}
		if err := Sleep(ctx, lookAgain); err != nil {
			return err
		}
	}
	return fail(KindInternal, "see "+dir.File(vmdir.SupervisorLog), "its supervisors end before they answer")
}

// wake asks the supervisor and waits for its answer. It fails with
// process.ErrGone if there is no supervisor to give one.
func (l *Launcher) wake(ctx context.Context, dir vmdir.Dir, vm *Details) error {
	supervisor, err := process.Open(vm.Details.Supervisor)
	if err != nil {
		return err
	}
	defer func() { _ = supervisor.Close() }()
	if err := supervisor.Signal(WakeUp); err != nil {
		return err
	}
	there, cancel := context.WithCancel(ctx)
	defer cancel()
	go func() {
		if supervisor.Wait(there) == nil {
			cancel()
		}
	}()
	var answer Attempt
	err = l.watch(there, dir, vm.UUID, func(now *Details) (bool, error) {
		if now != nil {
			answer = now.Details.Resumed
		}
		return answer.Number > vm.Details.Resumed.Number, nil
	})
	switch {
	case err != nil && there.Err() != nil && ctx.Err() == nil:
		return process.ErrGone
	case err != nil:
		return err
	case answer.Error != nil:
		return answer.Error
	}
	return nil
}
