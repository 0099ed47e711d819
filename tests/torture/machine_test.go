package torture

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"kvmrun/tests/lab"
	"kvmrun/tests/trace"
)

// patience is how long what goes on by itself may take.
const patience = 60 * time.Second

// machine is a host on which kvmrun is killed, beside things of others that
// look like kvmrun's.
type machine struct {
	*lab.Lab
	before lab.Snapshot
	disk   string // an empty one
}

func newMachine(t *testing.T) *machine {
	t.Helper()
	m := &machine{Lab: lab.New(t), disk: lab.BlankDisk(t, "qcow2")}
	m.Host.PlaceDecoys(t)
	m.Host.MustRun(t, "sh", "-euc", `
		nft add table inet kvmrun_decoy
		mkdir -p /run/kvmrun/vms /var/lib/kvmrun/overlays
		echo mine >/run/kvmrun/notes
		echo mine >/run/kvmrun/vms/notes
		echo mine >/var/lib/kvmrun/overlays/decoy.qcow2`)
	m.Host.Start(t, "bash", "-c", "exec -a qemu-system-x86_64 sleep infinity")
	lab.Eventually(t, patience, func() error {
		if n := m.processes(t).decoys; n != 1 {
			return fmt.Errorf("%d decoys of QEMU", n)
		}
		return nil
	})
	m.before = m.Host.Snapshot(t).WithoutSkeleton()
	return m
}

// diff is how the host differs from what it was; empty if it does not.
func (m *machine) diff(t *testing.T) string {
	t.Helper()
	return m.before.Diff(m.Host.Snapshot(t).WithoutSkeleton())
}

// run runs kvmrun on the host. An exit status other than 0 is an error.
func (m *machine) run(t *testing.T, args ...string) (string, error) {
	t.Helper()
	r := m.Host.Run(t, "kvmrun", args...)
	if r.ExitCode != 0 {
		return "", fmt.Errorf("%s", r)
	}
	return r.Stdout, nil
}

// trace carries out an order on the host.
func (m *machine) trace(t *testing.T, o trace.Order) (*trace.Report, lab.Result) {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	o.Report = filepath.Join(t.TempDir(), "report")
	variable, err := o.Environment()
	if err != nil {
		t.Fatal(err)
	}
	r := m.Host.RunWith(t, lab.Run{Env: []string{variable}}, self)
	if r.ExitCode != 0 {
		t.Fatalf("the tracer: %s", r)
	}
	report, err := trace.ReadReport(o.Report)
	if err != nil {
		t.Fatal(err)
	}
	return report, r
}

// vm is a VM as kvmrun list --json shows it.
type vm struct {
	Name       string `json:"name"`
	State      string `json:"state"`
	Reason     string `json:"reason"`
	PID        int    `json:"pid"`
	Supervised bool   `json:"supervised"`
}

func (m *machine) list(t *testing.T) ([]vm, error) {
	t.Helper()
	text, err := m.run(t, "list", "-a", "--json")
	if err != nil {
		return nil, err
	}
	var vms []vm
	return vms, json.Unmarshal([]byte(text), &vms)
}

// census counts the processes of a host that have to do with kvmrun, and those
// that are dying: they have no arguments any more, and yet may hold files.
type census struct{ commands, supervisors, qemus, decoys, dying int }

func (m *machine) processes(t *testing.T) census {
	t.Helper()
	n := census{dying: m.dying(t)}
	for _, line := range m.Host.Processes(t) {
		words := strings.Fields(line)
		switch program := filepath.Base(words[0]); {
		case program == "qemu-system-x86_64" && slices.Contains(words, "infinity"):
			n.decoys++
		case program == "qemu-system-x86_64":
			n.qemus++
		case program == "kvmrun" && slices.Contains(words, "supervise"):
			n.supervisors++
		case program == "kvmrun":
			n.commands++
		}
	}
	return n
}

// dying counts the processes that have given up their memory, but not all else.
func (m *machine) dying(t *testing.T) int {
	t.Helper()
	commands, err := filepath.Glob(m.Host.File("/proc/[0-9]*/cmdline"))
	if err != nil {
		t.Fatal(err)
	}
	n := 0
	for _, path := range commands {
		if text, err := os.ReadFile(path); err == nil && len(text) == 0 {
			n++
		}
	}
	return n
}

// settle waits until what goes on by itself is over, and checks that list says
// what is. A supervisor that has no VM, or one that has only just begun or
// begun to end, is on its way; so is a VM that runs.
func (m *machine) settle(t *testing.T) error {
	t.Helper()
	return lab.Within(patience, func() error {
		n := m.processes(t)
		vms, err := m.list(t)
		if err != nil {
			return err
		}
		supervised, alive := 0, 0
		for _, v := range vms {
			if v.PID != 0 {
				alive++
			}
			if !v.Supervised {
				continue
			}
			supervised++
			if !managed(v) {
				return fmt.Errorf("%s is %s", v.Name, v.State)
			}
		}
		if n.commands > 0 || n.dying > 0 || n.supervisors != supervised || n.qemus != alive {
			return fmt.Errorf("processes %+v, and listed are %+v", n, vms)
		}
		return nil
	})
}

// managed tells of a VM whether it runs and is looked after. A frozen guest
// counts as running.
func managed(v vm) bool {
	return v.Supervised && v.PID != 0 && (v.State == "running" || v.State == "paused")
}

// pids are the processes of a VM, by what they are; none if there is no such VM.
func (m *machine) pids(t *testing.T, name string) map[string]int {
	t.Helper()
	var found struct {
		PID     int `json:"pid"`
		Details struct {
			Supervisor struct{ PID int } `json:"supervisor"`
		} `json:"details"`
	}
	text, err := m.run(t, "inspect", name)
	if err != nil || json.Unmarshal([]byte(text), &found) != nil {
		return nil
	}
	return map[string]int{"supervisor": found.Details.Supervisor.PID, "QEMU": found.PID}
}

// killProcesses kills some of a VM's processes.
func (m *machine) killProcesses(t *testing.T, name string, victims ...string) error {
	t.Helper()
	pids := m.pids(t, name)
	args := []string{"-KILL"}
	for _, victim := range victims {
		if pids[victim] == 0 {
			return fmt.Errorf("%s has no %s", name, victim)
		}
		args = append(args, strconv.Itoa(pids[victim]))
	}
	if r := m.Host.Run(t, "kill", args...); r.ExitCode != 0 {
		return fmt.Errorf("%s", r)
	}
	return lab.Within(patience, func() error {
		for _, pid := range args[1:] {
			if _, err := os.Stat(m.Host.File("/proc/" + pid)); err == nil {
				return fmt.Errorf("process %s has not ended", pid)
			}
		}
		return nil
	})
}
