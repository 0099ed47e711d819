package launcher

import (
	"context"
	"errors"
	"syscall"
	"time"

	"kvmrun/launcher/process"
	"kvmrun/launcher/vmdir"
)

// The signals by which a supervisor is told what to do with its guest. It does so on
// a monitor of its own, which nobody can occupy. What came of it stands in the VM's
// state. Those without a name are real-time signals: Go's runtime drops one that a
// supervisor does not know.
const (
	WakeUp    = syscall.SIGUSR1    // let the guest go on
	HoldStill = syscall.Signal(40) // have the guest stand still
	ResetIt   = syscall.Signal(41) // reset the machine
	PlugIn    = syscall.Signal(42) // raise the link of the guest's card
	Unplug    = syscall.Signal(43) // take it down
)

// request is something that a supervisor is asked for.
type request struct {
	signal syscall.Signal
	answer func(*State) Attempt
}

var (
	resumeRequest = request{WakeUp, func(s *State) Attempt { return s.Resumed }}
	pauseRequest  = request{HoldStill, func(s *State) Attempt { return s.Paused }}
	resetRequest  = request{ResetIt, func(s *State) Attempt { return s.Reset }}
	plugInRequest = request{PlugIn, func(s *State) Attempt { return s.Linked }}
	unplugRequest = request{Unplug, func(s *State) Attempt { return s.Linked }}
)

// ask has the VM's supervisor do something, or a new one if it has none or loses it
// meanwhile.
func (l *Launcher) ask(ctx context.Context, op, name string, r request) error {
	op += " " + printableName(name)
	dir, err := l.dir(name)
	if err != nil {
		return during(op, err)
	}
	err = l.askSomebody(ctx, dir, r)
	if errors.Is(err, context.DeadlineExceeded) {
		err = fail(KindTimeout, "see "+dir.File(vmdir.SupervisorLog), "QEMU has not answered in time")
	}
	return during(op, err)
}

// askSomebody asks one supervisor after the other. One that is killed may look alive for a
// moment yet, and another that has taken its place not yet have said who it is: only those
// that are known to be different count.
func (l *Launcher) askSomebody(ctx context.Context, dir vmdir.Dir, r request) error {
	givenUp := time.Now().Add(undoTime)
	var last process.ID
	for dead := 0; dead <= maxAdoptions && time.Now().Before(givenUp); {
		vm, err := l.look(dir)
		if err != nil {
			return ended(dir, err)
		}
		if err := vm.over(); err != nil {
			return err
		}
		if !vm.Supervised {
			if err := l.adopt(ctx, dir); err != nil {
				return err
			}
			continue
		}
		err = l.askThisOne(ctx, dir, &vm, r)
		if !errors.Is(err, process.ErrGone) {
			return err
		}
		if vm.Details.Supervisor != last {
			last = vm.Details.Supervisor
			dead++
		}
		if err := Sleep(ctx, lookAgain); err != nil {
			return err
		}
	}
	return fail(KindInternal, "see "+dir.File(vmdir.SupervisorLog), "its supervisors end before they answer")
}

// askThisOne asks the supervisor that the VM has and waits for its answer. It fails
// with process.ErrGone if there is no supervisor to give one.
func (l *Launcher) askThisOne(ctx context.Context, dir vmdir.Dir, vm *Details, r request) error {
	supervisor, err := process.Open(vm.Details.Supervisor)
	if err != nil {
		return err
	}
	defer func() { _ = supervisor.Close() }()
	if err := supervisor.Signal(r.signal); err != nil {
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
	before := r.answer(&vm.Details).Number
	err = l.watch(there, dir, vm.Run, func(now *Details) (bool, error) {
		if now != nil {
			answer = r.answer(&now.Details)
		}
		return answer.Number > before, nil
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
