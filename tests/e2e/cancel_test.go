package e2e

import (
	"bytes"
	"fmt"
	"os"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"kvmrun/tests/lab"
)

// promptly is how soon an interrupted start has undone everything. It is less
// than any time after which one process kills another that does not listen.
const promptly = 10 * time.Second

// TestCancelAtMoments presses Ctrl-C when start has come to a certain point.
func TestCancelAtMoments(t *testing.T) {
	t.Parallel()
	exists := func(path string) func(*host) error {
		return func(h *host) error {
			_, err := os.Stat(h.Host.File(path))
			return err
		}
	}
	for name, moment := range map[string]func(*host) error{
		"the name is taken":    exists("/run/kvmrun/vms/web"),
		"the plan is written":  exists("/run/kvmrun/vms/web/state.json"),
		"the tap is there":     exists("/sys/class/net/kr-web"),
		"QEMU is started":      exists("/run/kvmrun/vms/web/qemu.log"),
		"the firmware has run": logged("SeaBIOS"),
		"the kernel boots":     logged("Linux version"),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			h := newHost(t)
			p := h.Host.Start(t, "kvmrun", startArgs(append(boot(t), "--name", "web", "--wait", "net")...)...)
			lab.Eventually(t, patience, func() error { return moment(h) })
			p.Signal(t, unix.SIGINT)
			r := p.Wait(t, promptly)
			if r.ExitCode != 130 || r.Stdout != "" {
				t.Errorf("want exit status 130 and nothing on standard output: %s", r)
			}
			h.isAsBefore(t)
			if left := h.list(t, "-a"); len(left) > 0 {
				t.Errorf("listed still: %+v", left)
			}
		})
	}
}

// logged is the moment at which the console's log says something.
func logged(text string) func(*host) error {
	return func(h *host) error {
		log, err := os.ReadFile(h.Host.File("/run/kvmrun/vms/web/console.log"))
		if err == nil && !bytes.Contains(log, []byte(text)) {
			err = fmt.Errorf("the console has not said %q", text)
		}
		return err
	}
}

// TestCancelAtAnyTime sweeps over the first moments of start. An interrupt that
// comes too early kills kvmrun, one that comes too late finds the VM running.
func TestCancelAtAnyTime(t *testing.T) {
	t.Parallel()
	h := newHost(t)
	for delay := time.Duration(0); delay < 400*time.Millisecond; delay += 20 * time.Millisecond {
		p := h.Host.Start(t, "kvmrun", startArgs(frozen(t, "--name", "web")...)...)
		select {
		case <-p.Done():
		case <-time.After(delay): // the delay is what is tested
		}
		p.Signal(t, unix.SIGINT)
		switch r := p.Wait(t, promptly); r.ExitCode {
		case 0:
			h.must(t, "stop", "--force", "web")
		case 130:
		case -1: // before kvmrun minded signals
			h.turnsAsBefore(t)
		default:
			t.Errorf("interrupted after %v: %s", delay, r)
		}
		h.isAsBefore(t)
	}
}

// TestKilledStartIsUndone kills a start that waits for QEMU to come up: its
// supervisor notices and undoes everything.
func TestKilledStartIsUndone(t *testing.T) {
	t.Parallel()
	h := newHost(t)
	silent := h.script(t, "silent-qemu", "exec sleep 1000")
	p := h.Host.Start(t, "kvmrun", startArgs(append(boot(t), "--name", "web", "--qemu", silent)...)...)
	lab.Eventually(t, patience, func() error {
		_, err := os.Stat(h.Host.File("/run/kvmrun/vms/web/qemu.log"))
		return err
	})
	p.Signal(t, unix.SIGKILL)
	p.Wait(t, patience)
	h.turnsAsBefore(t)
}
