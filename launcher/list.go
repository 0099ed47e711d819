package launcher

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"runtime"
	"slices"
	"strings"
	"sync"
	"time"

	"kvmrun/launcher/process"
	"kvmrun/launcher/vmdir"
)

// VM is one VM as others see it: its Spec and State in short, checked against
// the kernel.
type VM struct {
	Name       string    `json:"name"`
	State      Phase     `json:"state"`
	Reason     string    `json:"reason,omitempty"`
	IP         string    `json:"ip"`
	MAC        string    `json:"mac"`
	Tap        string    `json:"tap"`
	PID        int       `json:"pid"` // QEMU's; 0 if it does not run
	Image      string    `json:"image"`
	Started    time.Time `json:"started,omitzero"`
	Reachable  time.Time `json:"reachable,omitzero"`
	Panicked   time.Time `json:"panicked,omitzero"`  // the guest's kernel has, in its present boot
	Conflict   *Conflict `json:"conflict,omitempty"` // who else claims the address
	UUID       string    `json:"uuid"`               // the machine's
	Run        string    `json:"run,omitempty"`      // tells this start of it from others; empty of one that is stopped
	Supervised bool      `json:"supervised"`
}

// Details are everything that is known of a VM.
type Details struct {
	VM
	Command []string `json:"command"` // QEMU's arguments, as it was started
	Spec    Spec     `json:"spec"`
	Details State    `json:"details"`
	Dir     string   `json:"dir"`
	Files   Files    `json:"files"`
}

// Files are the paths that a user may want of a VM's folder.
type Files struct {
	Monitor       string `json:"monitor"` // QMP; serves one client at a time
	Console       string `json:"console"` // the serial port's socket
	ConsoleLog    string `json:"console_log"`
	VNC           string `json:"vnc,omitempty"` // the screen's socket; empty if there is none
	Events        string `json:"events"`
	QEMULog       string `json:"qemu_log"`
	SupervisorLog string `json:"supervisor_log"`
}

// List returns the VMs in the order of their names; with ended also those that failed, and
// those of which nothing is left but disks. A VM that ends while it is looked at is left
// out.
func (l *Launcher) List(ended bool) ([]VM, error) {
	names, err := l.root.Names()
	if err != nil {
		return nil, during("list", err)
	}
	found := make([]*VM, len(names))
	errs := make([]error, len(names))
	each(len(names), func(i int) {
		d, err := l.look(l.root.Dir(names[i]))
		switch {
		case errors.Is(err, fs.ErrNotExist):
		case err != nil:
			errs[i] = during("list "+printableName(names[i]), err)
		case d.State != Failed || ended:
			found[i] = &d.VM
		}
	})
	vms := make([]VM, 0, len(names))
	for _, vm := range found {
		if vm != nil {
			vms = append(vms, *vm)
		}
	}
	if ended {
		stopped, err := l.stopped(names)
		errs = append(errs, err)
		vms = append(vms, stopped...)
		slices.SortFunc(vms, func(a, b VM) int { return strings.Compare(a.Name, b.Name) })
	}
	return vms, errors.Join(errs...)
}

// Names lists all VMs there are, those that failed among them, in order. Folders
// that say nothing of a VM are somebody else's.
func (l *Launcher) Names() ([]string, error) {
	names, err := l.root.Names()
	names = slices.DeleteFunc(names, func(name string) bool {
		_, err := os.Lstat(l.root.Dir(name).File(vmdir.SpecFile))
		return errors.Is(err, fs.ErrNotExist)
	})
	return names, during("list", err)
}

// each calls do for 0 to n-1, as many at once as there are processors.
func each(n int, do func(i int)) { eachOf(n, runtime.GOMAXPROCS(0), do) }

// eachOf is each for what mostly waits: atOnce of them do so side by side.
func eachOf(n, atOnce int, do func(i int)) {
	var wg sync.WaitGroup
	next := make(chan int, n)
	for i := range n {
		next <- i
	}
	close(next)
	for range min(n, atOnce) {
		wg.Go(func() {
			for i := range next {
				do(i)
			}
		})
	}
	wg.Wait()
}

// Inspect returns everything that is known of the VM.
func (l *Launcher) Inspect(name string) (Details, error) {
	d, err := l.dir(name)
	if err != nil {
		return Details{}, during("inspect "+printableName(name), err)
	}
	details, err := l.look(d)
	return details, during("inspect "+printableName(name), err)
}

// look reads a VM's folder and holds what it says against the kernel.
func (l *Launcher) look(d vmdir.Dir) (Details, error) {
	var spec Spec
	if err := d.Read(vmdir.SpecFile, &spec); err != nil {
		return Details{}, damaged(d, err)
	}
	state := State{Phase: Starting}
	if err := d.Read(vmdir.StateFile, &state); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return Details{}, damaged(d, err)
	}
	if err := CheckRecord(d, &spec, &state); err != nil {
		return Details{}, err
	}
	supervised, err := d.Supervised()
	if err != nil {
		return Details{}, err
	}
	alive := state.QEMU.Alive()
	if !alive && !supervised && state.Phase == Starting {
		// Its supervisor may have been killed before it could write down which
		// process QEMU is.
		if id, err := FindQEMU(&spec); err == nil {
			state.QEMU, alive = id, true
		}
	}
	if state.Phase != Failed && !supervised && !alive {
		state.Phase, state.Reason = Dead, "QEMU and its supervisor have ended"
	}
	v := spec.view()
	v.Name, v.State, v.Reason, v.Supervised = d.Name, state.Phase, state.Reason, supervised
	v.Started, v.Reachable = state.Started, state.Reachable
	if alive {
		v.PID, v.Conflict, v.Panicked = state.QEMU.PID, state.Conflict, state.Boot.Panicked
	}
	command := state.Command
	state.Command = nil // it need not be printed twice
	files := Files{
		Monitor: d.File(vmdir.MonitorSocket), Console: d.File(vmdir.ConsoleSocket),
		ConsoleLog: d.File(vmdir.ConsoleLog), Events: d.File(vmdir.EventsFile),
		QEMULog: d.File(vmdir.QEMULog), SupervisorLog: d.File(vmdir.SupervisorLog),
	}
	if spec.Screen {
		files.VNC = d.File(vmdir.ScreenSocket)
	}
	return Details{
		VM: v, Command: command, Spec: spec, Details: state, Dir: d.Path, Files: files,
	}, nil
}

// errAnother says that a VM's name is another's by now, or that it is the same machine
// and was started again: the VM that is meant is not there.
var errAnother = fmt.Errorf("it is another VM by now: %w", fs.ErrNotExist)

// lookFor is look for one start of a VM, or without one for whichever has the name.
// It fails with errAnother, which is a fs.ErrNotExist, if it is not the one.
func (l *Launcher) lookFor(d vmdir.Dir, run string) (Details, error) {
	vm, err := l.look(d)
	if err == nil && run != "" && vm.Run != run {
		return Details{}, fmt.Errorf("%s: %w", d.Name, errAnother)
	}
	return vm, err
}

// view is a VM that is only just starting.
func (s *Spec) view() VM {
	return VM{
		Name: s.Name, State: Starting, UUID: s.UUID, Run: s.ID(), Image: s.image(),
		IP: s.Network.IP.String(), MAC: s.Network.MAC.String(), Tap: s.Network.Tap,
	}
}

// FindQEMU looks for the VM's QEMU among all processes: by its user, whom no
// other VM has, and the UUID among its arguments. It fails with
// process.ErrGone.
func FindQEMU(s *Spec) (process.ID, error) {
	return process.Search(process.RunsAs(s.RunAs.UID), "-uuid", s.UUID)
}

// image is what the VM boots from, in one word: an image of the store, or a file.
func (s *Spec) image() string {
	if len(s.Disks) > 0 && s.Disks[0].Image != "" {
		return s.Disks[0].Image
	}
	if len(s.Disks) > 0 {
		return s.Disks[0].Path
	}
	return s.Boot.Kernel
}
