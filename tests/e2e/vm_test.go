package e2e

import (
	"encoding/json"
	"fmt"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"

	"kvmrun/tests/lab"
)

// vm is a VM as kvmrun list --json shows it.
type vm struct {
	Name       string    `json:"name"`
	State      string    `json:"state"`
	Reason     string    `json:"reason"`
	IP         string    `json:"ip"`
	MAC        string    `json:"mac"`
	Tap        string    `json:"tap"`
	PID        int       `json:"pid"`
	Image      string    `json:"image"`
	Started    time.Time `json:"started"`
	UUID       string    `json:"uuid"`
	Supervised bool      `json:"supervised"`
	Conflict   *struct {
		MAC   string    `json:"mac"`
		Since time.Time `json:"since"`
	} `json:"conflict"`

	host *host
}

// details is the part of kvmrun inspect that only tests want.
type details struct {
	vm
	Command []string `json:"command"`
	Spec    struct {
		RunAs struct{ UID, GID int } `json:"run_as"`
		Disks []struct{ Path string }
	} `json:"spec"`
	Details struct {
		Supervisor struct{ PID int } `json:"supervisor"`
	} `json:"details"`
	Dir   string            `json:"dir"`
	Files map[string]string `json:"files"`
}

// accel is the accelerator that tests ask for.
func accel() string {
	if name := os.Getenv("KVMRUN_TEST_ACCEL"); name != "" {
		return name
	}
	return "tcg"
}

// startArgs is a command line of start for a small machine, with args behind.
func startArgs(args ...string) []string {
	return append([]string{"start", "--accel", accel(), "--memory", "128M", "--timeout", "100s"}, args...)
}

// start starts a VM, waits as args say (by default until it runs) and returns
// what kvmrun prints of it.
func (h *host) start(t *testing.T, args ...string) *vm {
	t.Helper()
	v := &vm{host: h}
	decode(t, h.must(t, startArgs(append([]string{"--json"}, args...)...)...), v)
	return v
}

// startNet starts a VM and returns when it answers at its address.
func (h *host) startNet(t *testing.T, args ...string) *vm {
	t.Helper()
	return h.start(t, append([]string{"--wait", "net"}, args...)...)
}

func decode(t *testing.T, text string, v any) {
	t.Helper()
	if err := json.Unmarshal([]byte(text), v); err != nil {
		t.Fatalf("not the JSON that was expected: %v\n%s", err, text)
	}
}

// list is kvmrun list with the given flags.
func (h *host) list(t *testing.T, flags ...string) []vm {
	t.Helper()
	var vms []vm
	decode(t, h.must(t, append([]string{"list", "--json"}, flags...)...), &vms)
	return vms
}

func (h *host) inspect(t *testing.T, name string) details {
	t.Helper()
	var d details
	decode(t, h.must(t, "inspect", name), &d)
	d.host = h
	return d
}

// awaitState waits until list -a shows the VM in a state, and returns it.
func (h *host) awaitState(t *testing.T, name, state string) vm {
	t.Helper()
	var found vm
	lab.Eventually(t, 20*time.Second, func() error {
		var vms []vm
		decode(t, h.Host.MustRun(t, "kvmrun", "list", "-a", "--json"), &vms)
		for _, v := range vms {
			if v.Name == name && v.State == state {
				found = v
				return nil
			}
		}
		return fmt.Errorf("%s is not %s: %+v", name, state, vms)
	})
	return found
}

// kill sends a signal to a process of the host.
func (h *host) kill(t *testing.T, signal string, pid int) {
	t.Helper()
	h.Host.MustRun(t, "kill", "-"+signal, strconv.Itoa(pid))
}

// status reads a process's status (proc_pid_status(5)) as the host sees it.
func (h *host) status(t *testing.T, pid int) map[string]string {
	t.Helper()
	text, err := os.ReadFile(h.Host.File(fmt.Sprintf("/proc/%d/status", pid)))
	if err != nil {
		t.Fatal(err)
	}
	fields := map[string]string{}
	for line := range strings.Lines(string(text)) {
		if key, value, ok := strings.Cut(line, ":"); ok {
			fields[key] = strings.Join(strings.Fields(value), " ")
		}
	}
	return fields
}
