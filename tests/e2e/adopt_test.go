package e2e

import (
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"kvmrun/tests/lab"
)

// TestAdoptAll replaces the supervisors of VMs, one of which had none, by those of
// a newly installed kvmrun. The guest goes on, and is served as before.
func TestAdoptAll(t *testing.T) {
	t.Parallel()
	h := newHost(t)
	installed := "/run/kvmrun-installed"
	h.sh(t, "cp "+lab.Binary(t)+" "+installed)
	h.before = h.Host.Snapshot(t)
	old := func(args ...string) {
		t.Helper()
		if r := h.Host.Run(t, installed, args...); r.ExitCode != 0 {
			t.Fatal(r)
		}
	}
	old(startArgs(append([]string{"--name", "web", "--wait", "net"}, boot(t)...)...)...)
	old(startArgs(frozen(t, "--name", "db")...)...)
	old(startArgs(frozen(t, "--name", "mail", "--dhcp", "dnsmasq")...)...)
	h.killSupervisors(t, "db")
	before := map[string]details{}
	for _, name := range []string{"web", "db", "mail"} {
		before[name] = h.inspect(t, name)
	}
	// The new one takes the old one's place, as install(1) does it.
	h.sh(t, "cp "+lab.Binary(t)+" "+installed+".new; mv "+installed+".new "+installed)
	old("adopt", "--all")
	for name, was := range before {
		now := h.inspect(t, name)
		if now.PID != was.PID || !now.Supervised || now.State != was.State || now.Details.Supervisor == was.Details.Supervisor {
			t.Errorf("%s was %+v\nis %+v", name, was, now)
		}
		if exe, err := os.Readlink(h.Host.File(fmt.Sprintf("/proc/%d/exe", now.Details.Supervisor.PID))); err != nil || exe != installed {
			t.Errorf("%s is looked after by %q (%v), want %s", name, exe, err, installed)
		}
		if events := h.must(t, "events", name); !strings.Contains(events, `"adopted"`) {
			t.Errorf("nothing is told of it:\n%s", events)
		}
	}
	web := &vm{Name: "web", IP: before["web"].IP, host: h}
	web.reachedFrom(t, h.LAN)
	if said := web.sh(t, "udhcpc -f -n -q -i eth0 -s /bin/true -t 3 -T 1"); !strings.Contains(said, "lease of "+web.IP+" obtained") {
		t.Errorf("DHCP does not go on: %s", said)
	}
	if logs := h.must(t, "logs", "web"); strings.Count(logs, "guest: ready") != 1 {
		t.Error("the guest has booted again")
	}
	h.must(t, "stop", "web")
	h.must(t, "stop", "--all", "--force")
	h.isAsBefore(t)
}

// TestAdoptRefuses what is not there, and what has ended.
func TestAdoptRefuses(t *testing.T) {
	t.Parallel()
	h := newHost(t)
	h.fails(t, 3, "adopt", "web")
	h.fails(t, 2, "adopt")
	h.fails(t, 2, "adopt", "web", "--all")
	h.must(t, "adopt", "--all")
	h.fail(t, "web")
	h.fails(t, 14, "adopt", "web")
	h.must(t, "adopt", "--all")
	h.must(t, "stop", "web")
	h.isAsBefore(t)
}

// TestAdoptWhileOthersAct has many commands replace the supervisors of VMs that
// others stop.
func TestAdoptWhileOthersAct(t *testing.T) {
	t.Parallel()
	h := newHost(t)
	for i := range 3 {
		h.start(t, frozen(t, "--name", fmt.Sprintf("web%d", i))...)
	}
	var commands []*lab.Process
	for range 4 {
		commands = append(commands,
			h.Host.Start(t, "kvmrun", "adopt", "--all"), h.Host.Start(t, "kvmrun", "gc"),
			h.Host.Start(t, "kvmrun", "adopt", "web1"))
	}
	commands = append(commands, h.Host.Start(t, "kvmrun", "stop", "--force", "web0"))
	for _, p := range commands {
		// Several that replace one supervisor at the same time get out of one
		// another's way, or say so.
		if r := p.Wait(t, 3*patience); r.ExitCode != 0 && r.ExitCode != 4 {
			t.Errorf("one of many: %s", r)
		}
	}
	for _, v := range h.list(t) {
		if !v.Supervised || v.Name == "web0" {
			t.Errorf("listed: %+v", v)
		}
	}
	h.must(t, "stop", "--all", "--force")
	h.isAsBefore(t)
}

// TestSupervisorThatDoesNotLeave is killed, and the VM notices nothing.
func TestSupervisorThatDoesNotLeave(t *testing.T) {
	t.Parallel()
	h := newHost(t)
	v := h.start(t, frozen(t, "--name", "web")...)
	h.kill(t, "STOP", h.supervisor(t, "web"))
	h.must(t, "adopt", "web")
	if now := h.inspect(t, "web"); now.PID != v.PID || !now.Supervised || now.State != "paused" {
		t.Errorf("it is %+v", now)
	}
	h.must(t, "stop", "--force", "web")
	h.isAsBefore(t)
}

// TestAdoptInterrupted leaves the VM with one supervisor or another.
func TestAdoptInterrupted(t *testing.T) {
	t.Parallel()
	h := newHost(t)
	v := h.start(t, frozen(t, "--name", "web")...)
	h.kill(t, "STOP", h.supervisor(t, "web"))
	adopt := h.Host.Start(t, "kvmrun", "adopt", "web")
	adopt.Signal(t, unix.SIGINT)
	adopt.Wait(t, patience)
	h.must(t, "gc")
	lab.Eventually(t, patience, func() error {
		if now := h.inspect(t, "web"); now.PID != v.PID || !now.Supervised {
			return fmt.Errorf("it is %+v", now)
		}
		return nil
	})
	h.kill(t, "CONT", h.supervisor(t, "web"))
	h.must(t, "stop", "--force", "web")
	h.isAsBefore(t)
}

// TestDnsmasqIsKilled has another take its place, also under a supervisor that has
// not started the first.
func TestDnsmasqIsKilled(t *testing.T) {
	t.Parallel()
	h := newHost(t)
	h.start(t, frozen(t, "--name", "web", "--dhcp", "dnsmasq")...)
	const find = "pgrep -f -x 'dnsmasq .*--interface=kr-web .*' || :"
	for range 2 {
		old := strings.TrimSpace(h.sh(t, find))
		h.sh(t, "kill -KILL "+old)
		lab.Eventually(t, patience, func() error {
			if now := strings.TrimSpace(h.sh(t, find)); now == "" || now == old {
				return fmt.Errorf("the old one was %q, and now there is %q", old, now)
			}
			return nil
		})
		h.must(t, "adopt", "web")
	}
	if events := h.must(t, "events", "web"); strings.Count(events, "dnsmasq-ended") != 2 {
		t.Errorf("it is not told of:\n%s", events)
	}
	h.must(t, "stop", "--force", "web")
	h.isAsBefore(t)
}

// nanoseconds reads what date +%s%N has printed.
func nanoseconds(t *testing.T, text string) time.Duration {
	t.Helper()
	n, err := strconv.ParseInt(text, 10, 64)
	if err != nil {
		t.Fatal(err)
	}
	return time.Duration(n)
}

// TestDnsmasqThatDoesNotServe: one that ends at once is started less and less often,
// and one that does not get ready keeps the supervisor from nothing.
func TestDnsmasqThatDoesNotServe(t *testing.T) {
	t.Parallel()
	h := newHost(t)
	fake := func(script string) {
		t.Helper()
		h.sh(t, "echo '#!/bin/sh\ndate +%s%N >>/run/fake/started\n"+script+"' >/run/fake/new && chmod 755 /run/fake/new && mv /run/fake/new /run/fake/dnsmasq")
	}
	started := func() []string { return strings.Fields(h.sh(t, "cat /run/fake/started 2>/dev/null || :")) }
	starts := func() int { return len(started()) }
	h.sh(t, "mkdir /run/fake && ln -s \"$(command -v dnsmasq)\" /run/fake/dnsmasq")
	args := startArgs(frozen(t, "--name", "web", "--dhcp", "dnsmasq")...)
	path := lab.Run{Env: []string{"PATH=/run/fake:" + os.Getenv("PATH")}}
	if r := h.Host.RunWith(t, path, "kvmrun", args...); r.ExitCode != 0 {
		t.Fatal(r)
	}
	fake("exit 1")
	h.sh(t, "pkill -KILL -f -x 'dnsmasq .*--interface=kr-web .*'")
	lab.Eventually(t, patience, func() error {
		if starts() < effortMost {
			return fmt.Errorf("started %d times", starts())
		}
		return nil
	})
	fake("trap exit TERM; while :; do sleep 0.1; done")
	lab.Eventually(t, patience, func() error {
		if starts() == effortMost {
			return errors.New("not started again")
		}
		return nil
	})
	if pause := nanoseconds(t, started()[effortMost]) - nanoseconds(t, started()[effortMost-1]); pause < 5*time.Second {
		t.Errorf("started again %v after the %dth time, without a pause", pause, effortMost)
	}
	h.must(t, "adopt", "web")
	if logs := h.must(t, "logs", "--supervisor", "web"); !strings.Contains(logs, "another supervisor takes over") {
		t.Errorf("the supervisor did not leave by itself:\n%s", logs)
	}
	if events := h.must(t, "events", "web"); strings.Count(events, "dnsmasq-ended") != 1 {
		t.Errorf("only one has ended that served:\n%s", events)
	}
	h.must(t, "stop", "--force", "web")
	h.sh(t, "rm -r /run/fake")
	h.isAsBefore(t)
}

// effortMost is how often a supervisor tries at once.
const effortMost = 4
