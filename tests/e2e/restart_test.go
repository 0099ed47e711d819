package e2e

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"kvmrun/tests/lab"
)

// TestRestart restarts a VM whose guest listens, one that failed, and one without an
// uplink. To the guest it is the same machine.
func TestRestart(t *testing.T) {
	t.Parallel()
	h := newHost(t)
	disk := lab.BlankDisk(t, "qcow2")
	first := h.start(t, append(boot(t), "--name", "first", "--uplink", "none")...) // takes the first address
	v := h.start(t, append(append([]string{disk}, boot(t)...), "--name", "web", "--wait", "net", "--wait", "console:guest: ready")...)
	was := h.inspect(t, "web")
	v.guestHas(t, "echo kept | dd of=/dev/vda conv=fsync; sync; head -c 4 /dev/vda", "kept")
	var all []vm
	decode(t, h.must(t, "restart", "web", "first", "web", "--json"), &all)
	if len(all) != 2 || all[0].Name != "web" || all[1].IP != first.IP {
		t.Errorf("not both, or not in the order of the names: %+v", all)
	}
	now := h.inspect(t, "web")
	if now.IP != was.IP || now.MAC != was.MAC || now.UUID != was.UUID || now.Tap != was.Tap || now.PID == was.PID || now.State != "running" {
		t.Errorf("was %+v, is %+v", was.vm, now.vm)
	}
	if got, want := strings.Join(now.Command, " "), strings.Join(was.Command, " "); withoutNumbers(got) != withoutNumbers(want) {
		t.Errorf("QEMU is not started as before:\n%s\n%s", want, got)
	}
	h.must(t, "wait", "web", "--for", "net")
	v.reachedFrom(t, h.LAN)
	v.guestHas(t, "head -c 4 /dev/vda", "kept")
	if events := h.must(t, "events", "web"); !strings.Contains(events, `"again":true`) {
		t.Errorf("nothing tells of the restart: %s", events)
	}

	h.kill(t, "KILL", now.PID)
	h.awaitState(t, "web", "failed")
	if out := h.must(t, "restart", "web", "--force"); out != "web "+was.IP+"\n" {
		t.Errorf("it prints %q", out)
	}
	if again := h.inspect(t, "web"); again.UUID != was.UUID || again.State != "running" {
		t.Errorf("one that had failed: %+v", again.vm)
	}
	h.must(t, "stop", "--force", "web", "first")
	h.isAsBefore(t)
}

// withoutNumbers leaves out what is another descriptor each time.
func withoutNumbers(command string) string {
	return strings.Map(func(r rune) rune {
		if r >= '0' && r <= '9' {
			return -1
		}
		return r
	}, command)
}

// TestRestartThatCannotBe loses a VM's kernel: the VM is left alone if that is seen in
// time, and is stopped otherwise.
func TestRestartThatCannotBe(t *testing.T) {
	t.Parallel()
	h := newHost(t)
	kernel := filepath.Join(t.TempDir(), "kernel")
	text, err := os.ReadFile(lab.Guest(t).Kernel)
	if err != nil {
		t.Fatal(err)
	}
	write := func(text []byte) {
		t.Helper()
		if err := os.WriteFile(kernel, text, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	write(text)
	v := h.start(t, "--name", "web", "--kernel", kernel, "--memory", "16M", "--", "-S")
	if err := os.Remove(kernel); err != nil {
		t.Fatal(err)
	}
	if message := h.fails(t, 7, "restart", "web", "--force"); !strings.Contains(message, kernel) || !strings.Contains(message, "left alone") {
		t.Errorf("its kernel is gone: %s", message)
	}
	if now := h.inspect(t, "web"); now.PID != v.PID {
		t.Errorf("it was not left alone: %+v", now.vm)
	}
	write([]byte("no kernel"))
	if message := h.fails(t, 7, "restart", "web", "--force"); !strings.Contains(message, "it is stopped") {
		t.Errorf("its kernel is none: %s", message)
	}
	h.fails(t, 3, "restart", "web")
	h.isAsBefore(t)
}

// TestRestartIsKilled kills a restart in its course. The VM is as it was, or stopped, or
// it runs again, and what is listed is so.
func TestRestartIsKilled(t *testing.T) {
	t.Parallel()
	h := newHost(t)
	record := h.Host.File("/run/kvmrun/vms/web/spec.json")
	asked := h.Host.File("/run/kvmrun/vms/web/stop-asked")
	there := func(path string) func() bool {
		return func() bool { _, err := os.Stat(path); return err == nil }
	}
	gone := func() bool { return !there(record)() }
	for name, moments := range map[string][]func() bool{
		"at once":               nil,
		"while it stops":        {there(asked)},
		"when it has stopped":   {gone},
		"while it starts again": {gone, there(record)},
	} {
		h.start(t, frozen(t, "--name", "web")...)
		p := h.Host.Start(t, "kvmrun", "restart", "--force", "web")
		for _, so := range moments {
			for end := time.Now().Add(patience); !so() && time.Now().Before(end); {
				select {
				case <-p.Done(): // it was quicker
					end = time.Now()
				case <-time.After(time.Millisecond):
				}
			}
		}
		p.Signal(t, unix.SIGKILL)
		p.Wait(t, patience)
		h.must(t, "gc")
		lab.Eventually(t, patience, func() error { // QEMU may just be ending
			listed := h.list(t, "-a")
			if len(listed) == 0 {
				return nil
			}
			r := h.Host.Run(t, "kvmrun", "qmp", "web", "query-status")
			if listed[0].State != "paused" || !strings.Contains(r.Stdout, "prelaunch") {
				return fmt.Errorf("killed %s: it is listed as %+v, and QEMU says %s", name, listed[0], r)
			}
			return nil
		})
		if r := h.run(t, "stop", "--force", "web"); r.ExitCode != 0 && r.ExitCode != 3 {
			t.Errorf("killed %s: %s", name, r)
		}
		h.isAsBefore(t)
	}
}
