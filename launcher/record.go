package launcher

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"time"

	"github.com/google/uuid"

	"kvmrun/launcher/process"
	"kvmrun/launcher/vmdir"
	"kvmrun/netplumb"
)

// CheckRecord refuses a record that a newer kvmrun wrote, and one that says what
// kvmrun never writes. What it names is removed, signalled and undone later on:
// it may be this VM's own alone. A state that is not there yet is the zero value.
func CheckRecord(d vmdir.Dir, spec *Spec, state *State) error {
	for _, file := range []struct {
		name       string
		has, knows int
	}{{vmdir.SpecFile, spec.Version, SpecVersion}, {vmdir.StateFile, state.Version, StateVersion}} {
		if file.has > file.knows {
			return fail(KindStorage, "use the kvmrun that wrote it, or a newer one",
				"%s has version %d; this kvmrun knows up to %d", vmdir.Printable(d.File(file.name)), file.has, file.knows)
		}
	}
	if err := spec.checkRecorded(d.Name); err != nil {
		return damaged(d, &vmdir.DamagedError{File: d.File(vmdir.SpecFile), Err: err})
	}
	if err := spec.checkPlan(state.Plan); err != nil {
		return damaged(d, &vmdir.DamagedError{File: d.File(vmdir.StateFile), Err: err})
	}
	return nil
}

// checkRecorded checks what leads to other things than the VM's folder: its
// leases, its user, its QEMU.
func (s *Spec) checkRecorded(name string) error {
	switch {
	case s.Name != name:
		return fmt.Errorf("it is the description of %.80q", s.Name)
	case CheckName(name) != nil:
		return errors.New("no VM has such a name")
	case uuid.Validate(s.UUID) != nil:
		return fmt.Errorf("UUID %.80q", s.UUID)
	case s.Run != "" && uuid.Validate(s.Run) != nil:
		return fmt.Errorf("run %.80q", s.Run)
	case !s.Network.IP.Is4():
		return fmt.Errorf("address %.80q", s.Network.IP)
	case s.RunAs.UID == 0 || s.RunAs.GID == 0:
		return errors.New("QEMU never runs as root")
	}
	return s.checkRecordedTPM()
}

// checkPlan checks that what was done to the host was done for this VM.
func (s *Spec) checkPlan(p *netplumb.Plan) error {
	switch {
	case p == nil:
		return nil
	case p.Config.Address != s.Network.IP || p.Config.Tap != s.Network.Tap:
		return fmt.Errorf("plan for %.80q on %.80q", p.Config.Address, p.Config.Tap)
	}
	return p.Check()
}

// damaged says what to do about a record that cannot be read.
func damaged(d vmdir.Dir, err error) error {
	var e *vmdir.DamagedError
	if errors.As(err, &e) {
		return &Error{Kind: KindStorage, Err: err, Advice: "once its QEMU is gone, remove " + vmdir.Printable(d.Path) + " and run kvmrun gc"}
	}
	return err
}

// nameProcess adds to the advice of damaged which process is the VM's QEMU, if there
// is one.
func nameProcess(d vmdir.Dir, err error) error {
	var e *Error
	id, failed := process.Search(process.SharesNetwork, "-name", "guest="+d.Name)
	if failed != nil || !errors.As(err, &e) {
		return err
	}
	advice := fmt.Sprintf("end its QEMU (process %d), remove %s and run kvmrun gc", id.PID, vmdir.Printable(d.Path))
	return &Error{Kind: e.Kind, Op: e.Op, Err: e.Err, Advice: advice}
}

// lookMended is lookFor for a VM that is to be changed. A record that is damaged
// under a supervisor's eyes is soon as it should be again.
func (l *Launcher) lookMended(ctx context.Context, d vmdir.Dir, run string) (Details, error) {
	ctx, cancel := context.WithTimeout(ctx, mendTime)
	defer cancel()
	for {
		vm, err := l.lookFor(d, run)
		if err == nil || !passes(err) {
			return vm, err
		}
		if supervised, failed := d.Supervised(); failed == nil && !supervised || Sleep(ctx, mendPause) != nil {
			return vm, nameProcess(d, err)
		}
	}
}

// awaitHome waits for the folder of a VM, if it vanished and the VM's QEMU runs: its
// supervisor writes it anew.
func (l *Launcher) awaitHome(ctx context.Context, d vmdir.Dir, vm VM) error {
	ctx, cancel := context.WithTimeout(ctx, mendTime)
	defer cancel()
	for {
		_, err := l.lookFor(d, vm.Run)
		if !errors.Is(err, fs.ErrNotExist) || errors.Is(err, errAnother) {
			return nil
		}
		id, failed := process.Search(process.SharesNetwork, "-uuid", vm.UUID)
		if failed != nil {
			return nil
		}
		if Sleep(ctx, mendPause) != nil {
			return fail(KindStorage, fmt.Sprintf("end its QEMU (process %d) and run kvmrun gc", id.PID),
				"%s is gone, but the VM runs", vmdir.Printable(d.Path))
		}
	}
}

// mendPause is the pause between two looks at a record that is being mended.
const mendPause = 50 * time.Millisecond
