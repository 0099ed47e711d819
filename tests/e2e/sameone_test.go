package e2e

import (
	"fmt"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"kvmrun/tests/lab"
)

// foreground starts web with --foreground and more flags, frozen, and returns when
// its start has said so.
func (h *host) foreground(t *testing.T) (*lab.Process, details) {
	t.Helper()
	p := h.Host.Start(t, "kvmrun", startArgs(frozen(t, "--name", "web", "--foreground")...)...)
	p.Stdout.WaitFor(t, "web 10.254.254.2\n", patience)
	return p, h.inspect(t, "web")
}

// isMended waits until web's record can be read again, and checks that the VM is the
// one that it was.
func (h *host) isMended(t *testing.T, was details) {
	t.Helper()
	lab.Eventually(t, patience, func() error {
		if r := h.Host.Run(t, "kvmrun", "inspect", "web"); r.ExitCode != 0 {
			return fmt.Errorf("it is not mended: %s", r)
		}
		return nil
	})
	if now := h.inspect(t, "web"); now.PID != was.PID || now.UUID != was.UUID || !now.Supervised {
		t.Errorf("it was %+v and is %+v", was, now)
	}
}

// goesOn checks that a command has not ended.
func goesOn(t *testing.T, p *lab.Process) {
	t.Helper()
	select {
	case <-p.Done():
		t.Fatalf("it has ended: %s", p.Wait(t, patience))
	default:
	}
}

// TestForegroundOfDamagedRecord stays until the supervisor has mended it.
func TestForegroundOfDamagedRecord(t *testing.T) {
	t.Parallel()
	h := newHost(t)
	p, v := h.foreground(t)
	h.sh(t, "truncate -s 0 "+recordOfWeb)
	h.isMended(t, v)
	goesOn(t, p)
	h.sh(t, "truncate -s 0 "+recordOfWeb)
	p.Signal(t, unix.SIGINT)
	if r := p.Wait(t, patience); r.ExitCode != 0 {
		t.Errorf("Ctrl-C: %s", r)
	}
	h.isAsBefore(t)
}

// TestForegroundWithoutDescriptors finds for a moment that too many files are open.
func TestForegroundWithoutDescriptors(t *testing.T) {
	t.Parallel()
	h := newHost(t)
	p, v := h.foreground(t)
	pid := strings.TrimSpace(h.sh(t, "pgrep -f '^kvmrun start .*--foreground'"))
	strace := h.Host.Start(t, "strace", "-f", "-p", pid, "-P", recordOfWeb,
		"-e", "trace=openat", "-e", "inject=openat:error=EMFILE")
	strace.Stderr.WaitFor(t, "attached", patience)
	h.sh(t, "touch /run/kvmrun/vms/web/events.jsonl")
	strace.Stderr.WaitFor(t, "EMFILE", patience)
	strace.Signal(t, unix.SIGINT)
	strace.Wait(t, patience)
	h.isMended(t, v)
	goesOn(t, p)
	p.Signal(t, unix.SIGINT)
	if r := p.Wait(t, patience); r.ExitCode != 0 {
		t.Errorf("Ctrl-C: %s", r)
	}
	h.isAsBefore(t)
}

// TestForegroundOfVanishedRecord follows the VM as long as its QEMU runs, and so do
// the commands beside.
func TestForegroundOfVanishedRecord(t *testing.T) {
	t.Parallel()
	h := newHost(t)
	p, v := h.foreground(t)
	events := h.Host.Start(t, "kvmrun", "events", "--follow", "web")
	events.Stdout.WaitFor(t, `"started"`, patience)
	h.sh(t, "rm -r /run/kvmrun")
	h.isMended(t, v)
	events.Stdout.WaitFor(t, `"record-restored"`, patience)
	goesOn(t, p)
	h.kill(t, "KILL", v.PID)
	if r := p.Wait(t, patience); r.ExitCode != 11 {
		t.Errorf("QEMU was killed: %s", r)
	}
	if r := events.Wait(t, patience); r.ExitCode != 0 {
		t.Errorf("the events: %s", r)
	}
	h.must(t, "stop", "web")
	h.isAsBefore(t)
}

// TestForegroundIsInterruptedWhileRecordIsGone leaves no VM behind.
func TestForegroundIsInterruptedWhileRecordIsGone(t *testing.T) {
	t.Parallel()
	h := newHost(t)
	p, _ := h.foreground(t)
	h.sh(t, "rm -r /run/kvmrun")
	p.Signal(t, unix.SIGINT)
	if r := p.Wait(t, patience); r.ExitCode != 0 {
		t.Errorf("Ctrl-C: %s", r)
	}
	h.isAsBefore(t)
}

// TestForegroundThatCannotFollow asks the guest to shut down, and does not cut it off.
func TestForegroundThatCannotFollow(t *testing.T) {
	t.Parallel()
	h := newHost(t)
	p := h.Host.Start(t, "kvmrun", startArgs(append(boot(t), "--name", "web", "--foreground")...)...)
	p.Stdout.WaitFor(t, "guest: ready", patience)
	console := h.Host.Start(t, "tail", "-n", "+1", "-f", "/run/kvmrun/vms/web/console.log")
	console.Stdout.WaitFor(t, "guest: ready", patience)
	supervisor := h.supervisor(t, "web")
	h.kill(t, "STOP", supervisor) // it mends nothing
	h.sh(t, "cp "+recordOfWeb+" /run/sound; truncate -s 0 "+recordOfWeb)
	p.Stderr.WaitFor(t, "stopping web", patience)
	h.sh(t, "cat /run/sound >"+recordOfWeb+"; rm /run/sound")
	h.kill(t, "CONT", supervisor)
	if r := p.Wait(t, patience); r.ExitCode != 13 || !strings.Contains(r.Stderr, "state.json is damaged") {
		t.Errorf("it does not say why: %s", r)
	}
	console.Stdout.WaitFor(t, "guest: power button", patience)
	console.Signal(t, unix.SIGKILL)
	console.Wait(t, patience)
	h.isAsBefore(t)
}

// TestWaitOfVanishedRecord waits on, and what it has waited for too long is stopped.
func TestWaitOfVanishedRecord(t *testing.T) {
	t.Parallel()
	h := newHost(t)
	p := h.Host.Start(t, "kvmrun", startArgs(frozen(t, "--name", "web", "--wait", "net", "--timeout", "12s")...)...)
	h.awaitState(t, "web", "paused")
	v := h.inspect(t, "web")
	h.sh(t, "rm -r /run/kvmrun")
	h.isMended(t, v)
	if r := p.Wait(t, patience); r.ExitCode != 12 {
		t.Errorf("the guest does not answer: %s", r)
	}
	h.onlyRecordIsLeft(t, "web")
	h.must(t, "stop", "web")
	h.isAsBefore(t)
}

// TestNameIsAnothersByNow: a command that slept while its VM was replaced by another
// of the same name leaves that one alone.
func TestNameIsAnothersByNow(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		flags  []string
		press  bool // Ctrl-C
		status int
	}{
		"foreground":        {[]string{"--foreground"}, false, 0},
		"foreground Ctrl-C": {[]string{"--foreground"}, true, 0},
		"wait":              {[]string{"--wait", "net", "--timeout", "12s"}, false, 14},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			h := newHost(t)
			p := h.Host.Start(t, "kvmrun", startArgs(frozen(t, append(c.flags, "--name", "web")...)...)...)
			h.awaitState(t, "web", "paused")
			if c.status == 0 {
				p.Stdout.WaitFor(t, "web 10.254.254.2\n", patience)
			}
			p.Signal(t, unix.SIGSTOP)
			h.must(t, "stop", "--force", "web")
			other := h.start(t, frozen(t, "--name", "web")...)
			if c.press {
				p.Signal(t, unix.SIGINT)
			}
			p.Signal(t, unix.SIGCONT)
			if r := p.Wait(t, patience); r.ExitCode != c.status {
				t.Errorf("want exit status %d: %s", c.status, r)
			}
			if listed := h.list(t); len(listed) != 1 || listed[0].UUID != other.UUID || listed[0].State != "paused" {
				t.Errorf("the other VM is not as it was: %+v", listed)
			}
			h.must(t, "stop", "--force", "web")
			h.isAsBefore(t)
		})
	}
}
