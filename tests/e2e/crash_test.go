package e2e

import (
	"fmt"
	"strings"
	"testing"

	"kvmrun/tests/lab"
)

// TestCrashOfQEMU kills QEMU and looks at the record that tells of it.
func TestCrashOfQEMU(t *testing.T) {
	t.Parallel()
	h := newHost(t)
	v := h.startNet(t, append(boot(t), "--name", "web")...)
	h.kill(t, "KILL", v.PID)
	failed := h.onlyRecordIsLeft(t, "web")
	if !strings.Contains(failed.Reason, "signal: killed") {
		t.Errorf("the reason does not tell how QEMU ended: %q", failed.Reason)
	}
	if table := h.must(t, "list", "-a"); !strings.Contains(table, "failed") || !strings.Contains(table, failed.Reason) {
		t.Errorf("list -a does not tell the reason:\n%s", table)
	}
	if logs := h.must(t, "logs", "web"); !strings.Contains(logs, "guest: ready") {
		t.Errorf("its logs are lost: %q", logs)
	}
	h.must(t, "inspect", "web")
	h.must(t, "events", "web")
	h.fails(t, 14, "qmp", "web", "query-status")
	h.fails(t, 14, "console", "web")
	h.must(t, "stop", "web")
	h.fails(t, 3, "stop", "web")
	h.isAsBefore(t)
}

// The name and the address of a VM that failed are free.
func TestStartInPlaceOfFailed(t *testing.T) {
	t.Parallel()
	h := newHost(t)
	first := h.start(t, frozen(t, "--name", "web")...)
	h.kill(t, "KILL", first.PID)
	h.onlyRecordIsLeft(t, "web")
	second := h.start(t, frozen(t, "--name", "web")...)
	if second.IP != first.IP || second.UUID == first.UUID {
		t.Errorf("first %+v\nsecond %+v", first, second)
	}
	h.must(t, "stop", "--force", "web")
	h.isAsBefore(t)
}

// TestSupervisorIsKilled leaves the guest running, reachable, and for the next
// command to look after.
func TestSupervisorIsKilled(t *testing.T) {
	t.Parallel()
	h := newHost(t)
	v := h.startNet(t, append(boot(t), "--name", "web")...)
	h.killSupervisor(t, "web")
	if listed := h.list(t); len(listed) != 1 || listed[0].Supervised || listed[0].State != "running" || listed[0].PID != v.PID {
		t.Errorf("without its supervisor it is listed as %+v", listed)
	}
	if table := h.must(t, "list"); !strings.Contains(table, "running (unsupervised)") {
		t.Errorf("the table does not show that nobody looks after it:\n%s", table)
	}
	v.reachedFrom(t, h.LAN)
	h.must(t, "stop", "web")
	h.isAsBefore(t)
}

// After the supervisor, QEMU is gone too, by whatever: what is left is cleaned
// up by stop, or by the next VM of the name.
func TestSupervisorAndQEMUAreKilled(t *testing.T) {
	t.Parallel()
	for name, end := range map[string]func(*testing.T, *host, *vm){
		"stop":       func(t *testing.T, h *host, v *vm) { h.must(t, "stop", v.Name) },
		"stop --all": func(t *testing.T, h *host, _ *vm) { h.must(t, "stop", "--all") },
		"start": func(t *testing.T, h *host, v *vm) {
			if next := h.start(t, frozen(t, "--name", v.Name)...); next.IP != v.IP {
				t.Errorf("the address of the dead VM is not free: %s", next.IP)
			}
			h.must(t, "stop", "--force", v.Name)
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			h := newHost(t)
			v := h.start(t, frozen(t, "--name", "web")...)
			h.killSupervisor(t, "web")
			h.kill(t, "KILL", v.PID)
			dead := h.awaitState(t, "web", "dead")
			if dead.PID != 0 || dead.Reason == "" {
				t.Errorf("a dead VM is listed as %+v", dead)
			}
			end(t, h, v)
			h.isAsBefore(t)
		})
	}
}

// killSupervisor kills the VM's supervisor and waits until it is gone.
func (h *host) killSupervisor(t *testing.T, name string) {
	t.Helper()
	h.kill(t, "KILL", h.inspect(t, name).Details.Supervisor.PID)
	lab.Eventually(t, patience, func() error {
		if h.inspect(t, name).Supervised {
			return fmt.Errorf("%s is supervised still", name)
		}
		return nil
	})
}
