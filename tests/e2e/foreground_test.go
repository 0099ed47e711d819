package e2e

import (
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"kvmrun/tests/lab"
)

// TestForeground shows the console and stops the VM by Ctrl-C.
func TestForeground(t *testing.T) {
	t.Parallel()
	h := newHost(t)
	p := h.Host.Start(t, "kvmrun", startArgs(append(boot(t), "--name", "web", "--foreground")...)...)
	p.Stdout.WaitFor(t, "web 10.254.254.2\n", patience)
	p.Stdout.WaitFor(t, "guest: ready", patience)
	p.Signal(t, unix.SIGINT)
	r := p.Wait(t, patience)
	if r.ExitCode != 0 || !strings.Contains(r.Stderr, "stopping web") {
		t.Errorf("Ctrl-C: %s", r)
	}
	h.isAsBefore(t)
}

// A guest that shuts down ends the foreground as well.
func TestForegroundEndsWithGuest(t *testing.T) {
	t.Parallel()
	h := newHost(t)
	r := h.run(t, startArgs(append(boot(t, "guest.poweroff"), "--foreground")...)...)
	if r.ExitCode != 0 || !strings.Contains(r.Stdout, "reboot: Power down") {
		t.Errorf("got %s", r)
	}
	h.turnsAsBefore(t)
}

// A second Ctrl-C does not wait for a guest that does not listen, and nothing is
// left.
func TestForegroundSecondCtrlC(t *testing.T) {
	t.Parallel()
	h := newHost(t)
	p := h.Host.Start(t, "kvmrun", startArgs(append(boot(t, "init=/bin/false", "rdinit=/bin/true"), "--name", "web", "--foreground")...)...)
	p.Stdout.WaitFor(t, "not syncing", patience)
	p.Signal(t, unix.SIGINT)
	p.Stderr.WaitFor(t, "Ctrl-C again", patience)
	p.Signal(t, unix.SIGINT)
	if r := p.Wait(t, promptly); r.ExitCode != 0 {
		t.Errorf("the second Ctrl-C: %s", r)
	}
	h.isAsBefore(t)
}

// The terminal that shows the console goes away, or whatever else reads it.
func TestForegroundThatNobodySees(t *testing.T) {
	t.Parallel()
	t.Run("SIGHUP", func(t *testing.T) {
		t.Parallel()
		h := newHost(t)
		// These tests may themselves be run by nohup(1).
		args := startArgs(append(boot(t), "--name", "web", "--foreground")...)
		p := h.Host.Start(t, "env", append([]string{"--default-signal=HUP", lab.Binary(t)}, args...)...)
		p.Stdout.WaitFor(t, "guest: ready", patience)
		p.Signal(t, unix.SIGHUP)
		p.Wait(t, patience)
		h.isAsBefore(t)
	})
	for _, more := range []string{"", " --json"} {
		t.Run("closed pipe"+more, func(t *testing.T) {
			t.Parallel()
			h := newHost(t)
			args := startArgs(append(boot(t), "--name", "web", "--foreground")...)
			script := `"$@"` + more + ` | head -n 1; exit ${PIPESTATUS[0]}`
			h.Host.Run(t, "bash", append([]string{"-c", script, "bash", "kvmrun"}, args...)...)
			h.isAsBefore(t)
		})
	}
}

// The end of the VM is told by the exit status.
func TestForegroundOfQEMUThatIsKilled(t *testing.T) {
	t.Parallel()
	h := newHost(t)
	p := h.Host.Start(t, "kvmrun", startArgs(append(boot(t), "--name", "web", "--foreground", "--wait", "none")...)...)
	p.Stdout.WaitFor(t, "Linux version", patience)
	h.kill(t, "KILL", h.inspect(t, "web").PID)
	if r := p.Wait(t, patience); r.ExitCode != 11 || !strings.Contains(r.Stderr, "signal: killed") {
		t.Errorf("QEMU was killed: %s", r)
	}
	h.onlyRecordIsLeft(t, "web")
	h.must(t, "stop", "web")
	h.isAsBefore(t)
}

// A VM of which nobody can be told does not stay.
func TestStartThatCannotPrint(t *testing.T) {
	t.Parallel()
	h := newHost(t)
	args := startArgs(frozen(t, "--name", "web")...)
	r := h.Host.Run(t, "bash", append([]string{"-c", `"$@" >/dev/full`, "bash", "kvmrun"}, args...)...)
	if r.ExitCode == 0 || !strings.Contains(r.Stderr, "no space left") {
		t.Errorf("standard output is full: %s", r)
	}
	h.isAsBefore(t)
}
