package e2e

import (
	"fmt"
	"strings"
	"testing"

	"kvmrun/tests/lab"
)

// noRoot boots a kernel that finds nothing to go on with.
func noRoot(t *testing.T) []string {
	return []string{"--kernel", lab.Guest(t).Kernel, "--append", cmdline + " root=/dev/nope"}
}

// TestFailedBoots has boots fail in several ways: each ends start --wait and every
// other wait, with the reason and the console's last lines.
func TestFailedBoots(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		args   []string
		reason string
		shows  string // a line of the console's before that
	}{
		"no root": {noRoot(t), "Kernel panic - not syncing: VFS: Unable to mount root fs", "Please append a correct"},
		"no init": {boot(t, "init=/bin/false", "rdinit=/bin/true"), "Kernel panic - not syncing: Attempted to kill init!", "Run /bin/true as init process"},
		"no disk": {[]string{lab.BlankDisk(t, "qcow2")}, "No bootable device", "Boot failed: not a bootable disk"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			h := newHost(t)
			h.start(t, append([]string{"--name", "other", "--wait", "none"}, c.args...)...)
			h.start(t, frozen(t, "--name", "third")...)
			other := h.Host.Start(t, "kvmrun", "wait", "other", "third", "--for", "net", "--for", "exit", "--json")
			if c.args[0] != "--kernel" {
				c.args[0] = lab.BlankDisk(t, "qcow2")
			}
			args := startArgs(append([]string{"--name", "web", "--wait", "net"}, c.args...)...)
			web := h.run(t, args...)
			if web.ExitCode != 18 || !strings.Contains(web.Stderr, "the guest failed to boot: "+c.reason) || web.Stdout != "" {
				t.Errorf("start --wait: %s", web)
			}
			if last, _, _ := strings.Cut(web.Stderr, "kvmrun: wait for"); !strings.Contains(last, "kvmrun: web | ") || !strings.Contains(last, c.shows) || strings.Contains(last, "\x1b") {
				t.Errorf("what the console said last is not shown before the reason: %q", web.Stderr)
			}
			if v := h.awaitState(t, "web", "failed"); !strings.Contains(v.Reason, c.reason) {
				t.Errorf("the record does not say why: %+v", v)
			}
			r := other.Wait(t, patience)
			var all []waited
			decode(t, r.Stdout, &all)
			if r.ExitCode != 18 || !strings.Contains(r.Stderr, "kvmrun: other | ") || !strings.Contains(r.Stderr, "of other: the guest failed to boot: "+c.reason) {
				t.Errorf("wait: %s", r)
			}
			if e := all[0].Error; e == nil || e.Kind != "boot" || !strings.Contains(strings.Join(all[0].Console, "\n"), c.shows) {
				t.Errorf("wait --json: %+v", all)
			}
			if h.inspect(t, "other").State != "running" {
				t.Error("a wait is not to stop a VM")
			}
			h.fails(t, 18, "wait", "other", "--for", "port:80")
			h.must(t, "wait", "other", "--for", "running", "--for", "console:"+strings.SplitN(c.shows, " ", 2)[0])
			h.must(t, "stop", "--force", "--all")
			h.isAsBefore(t)
		})
	}
}

// TestPanicOfGuestThatWasReached has a kernel panic long after its boot: QEMU's
// pvpanic device is the witness, and a reset is a new beginning.
func TestPanicOfGuestThatWasReached(t *testing.T) {
	t.Parallel()
	h := newHost(t)
	v := h.startNet(t, append(boot(t), "--name", "web")...)
	p := h.Host.Start(t, "kvmrun", "wait", "web", "--for", "port:81")
	lab.Eventually(t, patience, func() error { return watching(p.PID, 1) })
	// What the guest's driver does then, which this guest does not have (docs of QEMU:
	// specs/pvpanic).
	h.must(t, "qmp", v.Name, "human-monitor-command", `{"command-line": "o/b 0x505 1"}`)
	if r := p.Wait(t, patience); r.ExitCode != 18 || !strings.Contains(r.Stderr, "the guest's kernel has panicked") {
		t.Errorf("the kernel has panicked: %s", r)
	}
	h.fails(t, 18, "wait", "web", "--for", "port:81")
	if list := h.must(t, "list"); !strings.Contains(list, "web: the guest's kernel has panicked, at 2") {
		t.Errorf("list does not tell: %s", list)
	}
	if h.inspect(t, "web").State != "running" {
		t.Error("what becomes of a guest that panics is its kernel's to say")
	}
	again := h.Host.Start(t, "kvmrun", "wait", "web", "--for", "exit")
	if r := again.Wait(t, patience); r.ExitCode != 18 {
		t.Errorf("wait for the end: %s", r)
	}
	h.must(t, "reset", "web")
	h.must(t, "wait", "web", "--for", "net", "--for", "console:guest: ready", "--timeout", "100s")
	if n := strings.Count(h.must(t, "logs", "web"), "guest: ready"); n != 2 {
		t.Errorf("it was ready %d times when the second was waited for", n)
	}
	if n := strings.Count(h.must(t, "events", "web"), `"reachable"`); n != 2 {
		t.Errorf("it was reached %d times", n)
	}
	h.must(t, "stop", "--force", "web")
	h.isAsBefore(t)
}

// TestGuestThatCriesWolf: a guest that tells QEMU of panics or processors without end is
// stopped, for QEMU keeps what nobody has read in the host's memory.
func TestGuestThatCriesWolf(t *testing.T) {
	t.Parallel()
	h := newHost(t)
	h.start(t, append([]string{"--name", "web"}, boot(t)...)...)
	// What root in the guest would do by outb.
	out := func(line string, times int) {
		h.sh(t, fmt.Sprintf(`for i in $(seq %d); do kvmrun qmp web human-monitor-command '{"command-line": "o/%s"}'; done`, times, line))
	}
	out("b 0x505 2", 100)
	lab.Eventually(t, patience, func() error {
		if list := h.must(t, "list"); !strings.Contains(list, "paused") || !strings.Contains(list, "web: the guest tells of panics") {
			return fmt.Errorf("it is not stopped: %s", list)
		}
		return nil
	})
	h.must(t, "resume", "web") // it goes on, and is stopped once more, for processors
	for _, line := range []string{"w 0xcd8 0", "w 0xcd8 0", "b 0xcdd 2"} {
		out(line, 1)
	}
	out("w 0xce0 0", 100)
	lab.Eventually(t, patience, func() error {
		if n := strings.Count(h.must(t, "events", "web"), `"STOP"`); n < 2 {
			return fmt.Errorf("it was stopped %d times", n)
		}
		return nil
	})
	h.must(t, "stop", "--force", "web")
	h.isAsBefore(t)
}

// TestGuestThatTalksOfPanic says on the console what a kernel says that panics. Who
// waits for a guest that was reached does not believe it.
func TestGuestThatTalksOfPanic(t *testing.T) {
	t.Parallel()
	h := newHost(t)
	v := h.startNet(t, append(boot(t), "--name", "web")...)
	before := h.Host.Start(t, "kvmrun", "wait", "web", "--for", "port:81")
	lab.Eventually(t, patience, func() error { return watching(before.PID, 1) })
	v.sh(t, `printf '\nKernel panic - not syncing: just talk\n' >/dev/console`)
	after := h.Host.Start(t, "kvmrun", "wait", "web", "--for", "port:81", "--for", "console:just talk")
	lab.Eventually(t, patience, func() error { return watching(after.PID, 1) })
	v.background(t, "nc -ll -p 81 -e /bin/cat")
	for _, p := range []*lab.Process{before, after} {
		if r := p.Wait(t, patience); r.ExitCode != 0 {
			t.Errorf("the guest is well: %s", r)
		}
	}
	h.must(t, "stop", "--force", "web")
	h.isAsBefore(t)
}
