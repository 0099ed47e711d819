package e2e

import (
	"os"
	"strings"
	"testing"
	"time"

	"kvmrun/tests/lab"
)

// TestWantedEnds are the ends after which nothing of a VM is left.
func TestWantedEnds(t *testing.T) {
	t.Parallel()
	for name, end := range map[string]func(*testing.T, *host, *vm){
		"the guest shuts down": func(t *testing.T, _ *host, v *vm) { v.poweroff(t) },
		"stop":                 func(t *testing.T, h *host, v *vm) { h.must(t, "stop", v.Name) },
		"stop --force":         func(t *testing.T, h *host, v *vm) { h.must(t, "stop", "--force", v.Name) },
		"qmp quit":             func(t *testing.T, h *host, v *vm) { h.must(t, "qmp", v.Name, "quit") },
		"SIGTERM to QEMU":      func(t *testing.T, h *host, v *vm) { h.kill(t, "TERM", v.PID) },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			h := newHost(t)
			v := h.startNet(t, boot(t)...)
			end(t, h, v)
			if strings.HasPrefix(name, "stop") {
				h.isAsBefore(t)
			} else {
				h.turnsAsBefore(t)
			}
			if left := h.list(t, "-a"); len(left) > 0 {
				t.Errorf("it is listed still: %+v", left)
			}
		})
	}
}

// stop asks the guest first: the console tells that its power button was
// pressed.
func TestStopPressesPowerButton(t *testing.T) {
	t.Parallel()
	h := newHost(t)
	v := h.start(t, append(boot(t), "--wait", "console:guest: ready")...)
	follow := h.Host.Start(t, "kvmrun", "logs", "-f", v.Name)
	follow.Stdout.WaitFor(t, "guest: ready", patience)
	h.must(t, "stop", v.Name)
	r := follow.Wait(t, patience)
	if !strings.Contains(r.Stdout, "guest: power button") || r.ExitCode != 0 {
		t.Errorf("the guest was not asked: %s", r)
	}
	h.isAsBefore(t)
}

// A guest that does not listen to its power button is ended when the time is
// over, and that is said.
func TestStopOfGuestThatDoesNotListen(t *testing.T) {
	t.Parallel()
	h := newHost(t)
	v := h.start(t, append(boot(t, "init=/bin/false", "rdinit=/bin/true"), "--wait", "console:not syncing")...)
	began := time.Now()
	r := h.run(t, "stop", "--timeout", "1s", v.Name)
	if r.ExitCode != 0 || !strings.Contains(r.Stderr, "did not shut down") {
		t.Errorf("stop: %s", r)
	}
	if took := time.Since(began); took < time.Second {
		t.Errorf("it waited %v, not the second that it was told to", took)
	}
	h.isAsBefore(t)
}

// TestStopWhileStarting stops a VM that is only just coming up. Whichever
// command gets its way, nothing is left.
func TestStopWhileStarting(t *testing.T) {
	t.Parallel()
	h := newHost(t)
	for range 5 {
		start := h.Host.Start(t, "kvmrun", startArgs(append(boot(t), "--name", "web", "--wait", "net")...)...)
		lab.Eventually(t, patience, func() error {
			_, err := os.Stat(h.Host.File("/run/kvmrun/vms/web"))
			return err
		})
		// Before the VM's folder is complete, there is no VM.
		if r := h.run(t, "stop", "--force", "web"); r.ExitCode != 0 && r.ExitCode != 3 {
			t.Errorf("stop: %s", r)
		}
		h.must(t, "stop", "--force", "--all")
		if r := start.Wait(t, promptly); r.ExitCode == 0 || r.ExitCode == 1 {
			t.Errorf("a start whose VM was stopped: %s", r)
		}
		h.isAsBefore(t)
	}
}

// TestUplinkAndTapVanish pulls the VM's network away from under it.
func TestUplinkAndTapVanish(t *testing.T) {
	t.Parallel()
	for _, name := range []string{"eth0", "kr-web"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			h := newHost(t)
			h.start(t, frozen(t, "--name", "web")...)
			h.sh(t, "ip link delete "+name)
			if bad := h.check(t, 15); len(bad) == 0 {
				t.Errorf("host check misses nothing without %s", name)
			}
			h.must(t, "stop", "--force", "web")
			if name == "eth0" {
				h.before = h.before.Without("links", "addresses", "routes", "sysctls")
				now := h.Host.Snapshot(t).Without("links", "addresses", "routes", "sysctls", "files")
				if diff := h.before.Without("files").Diff(now); diff != "" {
					t.Error(asError(diff))
				}
				if left := h.sh(t, "ls -A /run/kvmrun/vms /run/kvmrun/leases /run/kvmrun/net"); strings.Contains(left, "10.254") {
					t.Errorf("left in the run directory: %s", left)
				}
				return
			}
			h.isAsBefore(t)
		})
	}
}

func TestCommandsOnVMThatIsNotThere(t *testing.T) {
	t.Parallel()
	h := newHost(t)
	for _, args := range [][]string{
		{"stop", "ghost"}, {"resume", "ghost"}, {"inspect", "ghost"}, {"logs", "ghost"}, {"console", "ghost"},
		{"qmp", "ghost", "query-status"}, {"events", "ghost"},
	} {
		h.fails(t, 3, args...)
	}
	h.must(t, "stop", "--all")
	h.isAsBefore(t)
}

// TestTimeoutLeavesRecord starts a guest that never takes an address.
func TestTimeoutLeavesRecord(t *testing.T) {
	t.Parallel()
	h := newHost(t)
	args := append(boot(t, "guest.nodhcp"), "--name", "mute", "--dhcp", "off", "--wait", "net", "--timeout", "6s")
	message := h.fails(t, 12, startArgs(args...)...)
	if !strings.Contains(message, "mute") || !strings.Contains(message, "net") {
		t.Errorf("the message tells neither who nor what: %s", message)
	}
	h.onlyRecordIsLeft(t, "mute")
	if logs := h.must(t, "logs", "mute"); !strings.Contains(logs, "Linux version") {
		t.Errorf("its logs do not show the boot: %q", logs)
	}
	h.must(t, "stop", "mute")
	h.isAsBefore(t)
}

// onlyRecordIsLeft checks that the VM is listed as failed with a reason, by
// list -a alone, and that nothing else of it is left.
func (h *host) onlyRecordIsLeft(t *testing.T, name string) vm {
	t.Helper()
	v := h.awaitState(t, name, "failed")
	if v.Reason == "" || v.PID != 0 {
		t.Errorf("a VM that failed: %+v", v)
	}
	if vms := h.list(t); len(vms) > 0 {
		t.Errorf("list without -a shows %+v", vms)
	}
	lab.Eventually(t, patience, func() error {
		now := h.Host.Snapshot(t)
		return asError(h.before.Without("files").Diff(now.Without("files")))
	})
	return v
}
