package e2e

import (
	"fmt"
	"net"
	"os"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"kvmrun/tests/lab"
)

// strace runs kvmrun in slow motion: it delays or kills at system calls.
func (h *host) strace(t *testing.T, inject string, args ...string) *lab.Process {
	t.Helper()
	calls, _, _ := strings.Cut(inject, ":")
	command := append([]string{"-f", "-o", "/dev/null", "-e", "trace=" + calls, "-e", "inject=" + inject, "kvmrun"}, args...)
	return h.Host.Start(t, "strace", command...)
}

// fail makes a record of a VM that failed.
func (h *host) fail(t *testing.T, name string) {
	t.Helper()
	v := h.start(t, frozen(t, "--name", name)...)
	h.kill(t, "KILL", v.PID)
	h.onlyRecordIsLeft(t, name)
}

// TestStopOfRecordAgainstStart starts a VM in place of one whose record is just
// being removed: whoever comes first, the new VM has all that is its own.
func TestStopOfRecordAgainstStart(t *testing.T) {
	t.Parallel()
	h := newHost(t)
	for _, call := range []string{"renameat", "unlinkat"} {
		h.fail(t, "web")
		stop := h.strace(t, call+":delay_enter=700000:when=1", "stop", "web")
		lab.Eventually(t, patience, func() error {
			if listed := h.list(t, "-a"); len(listed) > 0 && !listed[0].Supervised {
				return fmt.Errorf("stop has not begun: %+v", listed)
			}
			return nil
		})
		start := h.run(t, startArgs(frozen(t, "--name", "web")...)...)
		stop.Wait(t, patience)
		listed := h.list(t, "-a")
		switch start.ExitCode {
		case 0:
			if len(listed) != 1 || listed[0].State != "paused" {
				t.Errorf("%s: listed: %+v", call, listed)
			}
			h.must(t, "qmp", "web", "query-status")
			h.must(t, "stop", "--force", "web")
		case 4: // the record was not yet free
			if len(listed) > 0 {
				t.Errorf("%s: listed: %+v", call, listed)
			}
		default:
			t.Errorf("%s: %s", call, start)
		}
		h.isAsBefore(t)
	}
}

// TestSupervisorIsKilledBeforeItKnowsQEMU kills it when QEMU runs and nothing
// says yet which process that is.
func TestSupervisorIsKilledBeforeItKnowsQEMU(t *testing.T) {
	t.Parallel()
	h := newHost(t)
	start := h.strace(t, "renameat,renameat2:delay_enter=300000", startArgs(frozen(t, "--name", "web")...)...)
	var supervisor string
	lab.Eventually(t, patience, func() error {
		r := h.Host.Run(t, "sh", "-c", `for p in /proc/[0-9]*; do
			tr '\0' ' ' <$p/cmdline 2>/dev/null | grep -q '^[^ ]*qemu-system-x86_64 .*guest=web' && sed -n 's/^PPid:\t//p' $p/status
		done; :`)
		if supervisor = strings.TrimSpace(r.Stdout); supervisor == "" {
			return fmt.Errorf("QEMU has not been started: %s", r)
		}
		return nil
	})
	h.Host.MustRun(t, "kill", "-KILL", supervisor)
	if r := start.Wait(t, patience); r.ExitCode != 1 || !strings.Contains(r.Stderr, "everything is undone") {
		t.Errorf("a start whose supervisor was killed: %s", r)
	}
	h.isAsBefore(t)
}

// TestStartIsKilledWhileItReserves kills it between its changes of the run
// directory.
func TestStartIsKilledWhileItReserves(t *testing.T) {
	t.Parallel()
	h := newHost(t)
	h.must(t, "list")
	for _, point := range []string{"symlinkat:signal=KILL:when=1", "symlinkat:signal=KILL:when=2", "renameat2:signal=KILL:when=1"} {
		start := h.strace(t, point, startArgs(frozen(t, "--name", "web")...)...)
		if r := start.Wait(t, patience); r.ExitCode == 0 {
			t.Fatalf("%s did not kill it: %s", point, r)
		}
		if listed := h.list(t, "-a"); len(listed) > 0 && listed[0].State != "dead" {
			t.Errorf("%s: listed: %+v", point, listed)
		}
		v := h.start(t, frozen(t, "--name", "web")...)
		if v.IP != "10.254.254.2" {
			t.Errorf("%s: the first address is not free: %s", point, v.IP)
		}
		h.must(t, "stop", "--force", "web")
		h.isAsBefore(t)
	}
}

// TestStopsOfUnsupervised has several commands adopt a VM and end it at once.
func TestStopsOfUnsupervised(t *testing.T) {
	t.Parallel()
	h := newHost(t)
	for range 3 {
		h.start(t, frozen(t, "--name", "web")...)
		h.killSupervisor(t, "web")
		var stops []*lab.Process
		for range 4 {
			stops = append(stops, h.Host.Start(t, "kvmrun", "stop", "--force", "web"))
		}
		for _, p := range stops {
			if r := p.Wait(t, patience); r.ExitCode != 0 && r.ExitCode != 3 {
				t.Errorf("one of several stops: %s", r)
			}
		}
		h.isAsBefore(t)
	}
}

// TestAdoptionOfWhatIsLeft takes from a VM without a supervisor what a new one
// would use.
func TestAdoptionOfWhatIsLeft(t *testing.T) {
	t.Parallel()
	for name, damage := range map[string]func(*testing.T, *host, *vm){
		"no tap":            func(t *testing.T, h *host, v *vm) { h.sh(t, "ip link delete "+v.Tap) },
		"no monitor":        func(t *testing.T, h *host, _ *vm) { h.sh(t, "rm /run/kvmrun/vms/web/supervisor.sock") },
		"QEMU stands still": func(t *testing.T, h *host, v *vm) { h.kill(t, "STOP", v.PID) },
		"state is not known": func(t *testing.T, h *host, _ *vm) {
			h.sh(t, `sed -i 's/"pid": [0-9]*/"pid": 999999/' /run/kvmrun/vms/web/state.json`)
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			h := newHost(t)
			v := h.start(t, frozen(t, "--name", "web")...)
			h.killSupervisor(t, "web")
			damage(t, h, v)
			h.must(t, "stop", "--force", "web")
			h.isAsBefore(t)
		})
	}
}

// TestAdoptionAsksQEMU lets a guest go on that stood still when its supervisor
// was killed. It is then shut down, not cut off.
func TestAdoptionAsksQEMU(t *testing.T) {
	t.Parallel()
	h := newHost(t)
	v := h.start(t, append(boot(t), "--wait", "console:guest: ready")...)
	h.must(t, "qmp", v.Name, "stop")
	h.awaitState(t, v.Name, "paused")
	h.killSupervisor(t, v.Name)
	h.must(t, "qmp", v.Name, "cont") // which finds that nobody looks after it
	h.awaitState(t, v.Name, "running")
	follow := h.Host.Start(t, "kvmrun", "logs", "-f", v.Name)
	follow.Stdout.WaitFor(t, "guest: ready", patience)
	h.must(t, "stop", v.Name)
	if r := follow.Wait(t, patience); !strings.Contains(r.Stdout, "guest: power button") {
		t.Errorf("the guest was cut off: %s", r)
	}
	h.isAsBefore(t)
}

// TestStopWhileMonitorIsBusy has somebody sit on qmp.sock.
func TestStopWhileMonitorIsBusy(t *testing.T) {
	t.Parallel()
	h := newHost(t)
	v := h.start(t, append(boot(t), "--wait", "console:guest: ready")...)
	sitter, err := net.Dial("unix", h.Host.File("/run/kvmrun/vms/"+v.Name+"/qmp.sock"))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = sitter.Close() }()
	if _, err := sitter.Read(make([]byte, 16)); err != nil { // QEMU's greeting
		t.Fatal(err)
	}
	follow := h.Host.Start(t, "kvmrun", "logs", "-f", v.Name)
	follow.Stdout.WaitFor(t, "guest: ready", patience)
	if r := h.run(t, "stop", v.Name); r.ExitCode != 0 || strings.Contains(r.Stderr, "did not shut down") {
		t.Errorf("stop: %s", r)
	}
	if r := follow.Wait(t, patience); !strings.Contains(r.Stdout, "guest: power button") {
		t.Errorf("the guest was cut off: %s", r)
	}
	h.isAsBefore(t)
}

// TestStopIsInterrupted goes on with the VM: a later crash is one.
func TestStopIsInterrupted(t *testing.T) {
	t.Parallel()
	h := newHost(t)
	v := h.start(t, append(boot(t, "init=/bin/false", "rdinit=/bin/true"), "--name", "web", "--wait", "console:not syncing")...)
	stop := h.Host.Start(t, "kvmrun", "stop", "web")
	lab.Eventually(t, patience, func() error {
		_, err := os.Stat(h.Host.File("/run/kvmrun/vms/web/stop-asked"))
		return err
	})
	stop.Signal(t, unix.SIGINT)
	if r := stop.Wait(t, promptly); r.ExitCode != 130 {
		t.Errorf("stop: %s", r)
	}
	h.kill(t, "KILL", v.PID)
	h.onlyRecordIsLeft(t, "web")
	h.must(t, "stop", "web")
	h.isAsBefore(t)
}

// TestUndoThatFails keeps the record until all can be undone.
func TestUndoThatFails(t *testing.T) {
	t.Parallel()
	h := newHost(t)
	h.start(t, frozen(t, "--name", "web")...)
	pid := h.inspect(t, "web").Details.Supervisor.PID
	readOnly := fmt.Sprintf("nsenter --target %d --mount mount -o ", pid)
	h.sh(t, readOnly+"bind /run/kvmrun/net /run/kvmrun/net && "+readOnly+"remount,bind,ro /run/kvmrun/net")
	message := h.fails(t, 1, "stop", "--force", "web")
	if !strings.Contains(message, "could be undone") || !strings.Contains(message, "read-only") {
		t.Errorf("stop does not tell what is left: %s", message)
	}
	if listed := h.list(t, "-a"); len(listed) != 1 || listed[0].State != "failed" || !strings.Contains(listed[0].Reason, "undone") {
		t.Errorf("listed: %+v", listed)
	}
	h.fails(t, 1, startArgs(frozen(t, "--name", "web")...)...)
	h.sh(t, "umount /run/kvmrun/net; rm -rf /run/mount") // the latter is mount(8)'s own
	h.must(t, "stop", "web")
	h.isAsBefore(t)
}

// TestSupervisorThatHangs is replaced by one that cleans up.
func TestSupervisorThatHangs(t *testing.T) {
	t.Parallel()
	h := newHost(t)
	h.start(t, frozen(t, "--name", "web")...)
	h.kill(t, "STOP", h.inspect(t, "web").Details.Supervisor.PID)
	stop := h.Host.Start(t, "kvmrun", "stop", "--force", "web")
	if r := stop.Wait(t, 2*time.Minute); r.ExitCode != 0 || !strings.Contains(r.Stderr, "replacing it") {
		t.Errorf("stop: %s", r)
	}
	h.isAsBefore(t)
}

// TestDetachedStartThatFails leaves a record, since nobody was there to be told.
func TestDetachedStartThatFails(t *testing.T) {
	t.Parallel()
	h := newHost(t)
	h.sh(t, "ip tuntap add dev kr-web mode tap")
	h.before = h.Host.Snapshot(t)
	h.must(t, startArgs(frozen(t, "--name", "web", "--wait", "none")...)...)
	failed := h.awaitState(t, "web", "failed")
	if !strings.Contains(failed.Reason, "kr-web") {
		t.Errorf("the reason does not tell what is in the way: %+v", failed)
	}
	h.must(t, "stop", "web")
	h.isAsBefore(t)
}

// The record of a VM that failed gives its name to the next one of the image.
func TestDefaultNameOfFailed(t *testing.T) {
	t.Parallel()
	h := newHost(t)
	disk := lab.BlankDisk(t, "qcow2")
	for range 2 {
		v := h.start(t, disk, "--", "-S")
		if v.Name != "data" {
			t.Fatalf("named %q", v.Name)
		}
		h.kill(t, "KILL", v.PID)
		h.onlyRecordIsLeft(t, v.Name)
	}
	h.must(t, "stop", "--all")
	h.isAsBefore(t)
}
