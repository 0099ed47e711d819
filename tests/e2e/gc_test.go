package e2e

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"kvmrun/tests/lab"
)

// leftover is one line of kvmrun gc --json.
type leftover struct {
	What, Action, Error string
	Done                bool
}

func (h *host) gc(t *testing.T, flags ...string) []leftover {
	t.Helper()
	var found []leftover
	decode(t, h.must(t, append([]string{"gc", "--json"}, flags...)...), &found)
	return found
}

// has tells whether something of which the text is a part was found.
func has(found []leftover, what, action string) bool {
	return slices.ContainsFunc(found, func(f leftover) bool { return strings.Contains(f.What, what) && f.Action == action })
}

// withDecoys is a host with what looks like kvmrun's leftovers, marks and all, and
// is somebody else's.
func withDecoys(t *testing.T) *host {
	t.Helper()
	h := newHost(t)
	h.Host.PlaceDecoys(t)
	h.sh(t, `
		ip tuntap add dev kr-other mode tap
		ip link set kr-other group 21076 alias 'kvmrun other 7b0c3c0e-6f0e-4e0e-9c55-0123456789ab' up
		ip neigh add proxy 10.254.254.99 dev eth0 nud permanent protocol 82
		ip address add 10.254.253.1/32 dev eth0 label eth0:7 metric 21076
		nft add table ip kvmrun-decoy
		mkdir -p /var/lib/kvmrun/overlays /run/kvmrun/vms /run/kvmrun/net/notes /run/kvmrun/leases
		echo mine >/var/lib/kvmrun/overlays/notes.qcow2
		echo mine >/run/kvmrun/vms/README
		mkdir /run/kvmrun/vms/.new-york /run/kvmrun/leases/ip-10.254.254.88
		echo mine >/run/kvmrun/leases/notes
		echo mine >/run/kvmrun/leases/uid-7
		ln -s nobody /run/kvmrun/leases/latest
		echo mine >/var/lib/kvmrun/overlays/.overlay-notes
		echo mine >/run/kvmrun/notes`)
	h.before = h.Host.Snapshot(t)
	return h
}

// TestGCUndoesWhatIsDead kills VMs in all ways there are, among decoys.
func TestGCUndoesWhatIsDead(t *testing.T) {
	t.Parallel()
	h := withDecoys(t)
	dead := h.start(t, frozen(t, "--name", "dead")...)
	deadLAN := h.start(t, frozen(t, "--name", "dead-lan", "--ip", "192.0.2.50", "--dhcp", "dnsmasq")...)
	alone := h.start(t, frozen(t, "--name", "alone")...)
	h.sh(t, `
		mkdir -p /run/kvmrun/vms/.new-11111111-2222-3333-4444-555555555555 /run/kvmrun/vms/.old-22222222-2222-3333-4444-555555555555
		ln -s nobody /run/kvmrun/leases/ip-10.254.254.77
		touch /var/lib/kvmrun/overlays/.overlay-123456`)
	h.killAll(t, dead, deadLAN)
	h.killSupervisors(t, "alone")
	planned := h.gc(t, "--dry-run")
	for what, action := range map[string]string{
		"VM dead": "bury", "VM dead-lan": "bury", "VM alone": "adopt", ".new-11": "remove", ".old-22": "remove",
		"ip-10.254.254.77": "remove", ".overlay-123456": "remove", "kr-decoy": "leave", "kr-other": "leave", "10.254.254.99": "leave", "10.254.253.1": "leave",
	} {
		if !has(planned, what, action) {
			t.Errorf("%s is not to be dealt with by %s: %+v", what, action, planned)
		}
	}
	if states := h.list(t, "-a"); len(states) != 3 || states[0].Supervised || states[1].State != "dead" {
		t.Fatalf("a dry run has changed something: %+v", states)
	}
	for _, f := range h.gc(t) {
		if !f.Done && f.Action != "leave" {
			t.Errorf("not done: %+v", f)
		}
	}
	if vms := h.list(t); len(vms) != 1 || vms[0].PID != alone.PID || !vms[0].Supervised {
		t.Errorf("listed: %+v", vms)
	}
	h.must(t, "stop", "--force", "--all")
	h.isAsBefore(t)
	if again := h.gc(t); slices.ContainsFunc(again, func(f leftover) bool { return f.Action != "leave" }) {
		t.Errorf("found again: %+v", again)
	}
	h.isAsBefore(t)
}

// killAll kills QEMUs and their supervisors at the same moment, as far as a shell
// can.
func (h *host) killAll(t *testing.T, vms ...*vm) {
	t.Helper()
	pids := ""
	for _, v := range vms {
		pids += fmt.Sprintf(" %d %d", h.inspect(t, v.Name).Details.Supervisor.PID, v.PID)
	}
	h.sh(t, "kill -KILL"+pids)
	for _, v := range vms {
		lab.Eventually(t, patience, func() error {
			if now := h.inspect(t, v.Name); now.State != "dead" {
				return fmt.Errorf("%s is %s", v.Name, now.State)
			}
			return nil
		})
	}
}

// killSupervisors kills the supervisors of VMs at the same moment, so that none
// can look after another's VM.
func (h *host) killSupervisors(t *testing.T, names ...string) {
	t.Helper()
	pids := ""
	for _, name := range names {
		pids += fmt.Sprint(" ", h.inspect(t, name).Details.Supervisor.PID)
	}
	h.sh(t, "kill -KILL"+pids)
	for _, name := range names {
		lab.Eventually(t, patience, func() error {
			if h.inspect(t, name).Supervised {
				return fmt.Errorf("%s is supervised still", name)
			}
			return nil
		})
	}
}

// TestStartTidiesUp finds what was killed before, and takes the address of a dead
// VM that is asked for.
func TestStartTidiesUp(t *testing.T) {
	t.Parallel()
	h := newHost(t)
	first, second := h.start(t, frozen(t, "--name", "first")...), h.start(t, frozen(t, "--name", "second")...)
	third := h.start(t, frozen(t, "--name", "third")...)
	h.killAll(t, first, second)
	h.killSupervisors(t, "third")
	h.start(t, frozen(t, "--name", "next", "--ip", second.IP)...)
	lab.Eventually(t, patience, func() error {
		states := map[string]string{}
		for _, v := range h.list(t, "-a") {
			states[v.Name] = fmt.Sprint(v.State, v.Supervised)
		}
		if states["first"] != "failedfalse" || states["second"] != "failedfalse" || states["third"] != "pausedtrue" || states["next"] != "pausedtrue" {
			return fmt.Errorf("listed: %v", states)
		}
		return nil
	})
	if again := h.inspect(t, "third"); again.PID != third.PID {
		t.Errorf("it is another: %+v", again)
	}
	h.must(t, "stop", "--all", "--force")
	h.isAsBefore(t)
}

// TestNeighbourHiresSupervisor kills all supervisors but one.
func TestNeighbourHiresSupervisor(t *testing.T) {
	t.Parallel()
	h := newHost(t)
	var names []string
	for i := range 4 {
		v := h.start(t, frozen(t, "--name", fmt.Sprintf("web%d", i))...)
		names = append(names, v.Name)
	}
	failed := h.start(t, frozen(t, "--name", "web0-failed")...)
	h.kill(t, "KILL", failed.PID)
	h.awaitState(t, failed.Name, "failed") // its record is in between, and needs nobody
	h.sh(t, fmt.Sprintf("kill -KILL %d %d %d", h.supervisor(t, "web0"), h.supervisor(t, "web1"), h.supervisor(t, "web3")))
	for _, name := range names {
		lab.Eventually(t, patience, func() error {
			if v := h.inspect(t, name); !v.Supervised || v.State != "paused" {
				return fmt.Errorf("%s is %s, supervised: %v", name, v.State, v.Supervised)
			}
			return nil
		})
	}
	h.must(t, "stop", "--all", "--force")
	h.isAsBefore(t)
}

// TestStopWhileJournalIsHeld: somebody has the journal's lock and does not go on.
// stop does not wait for him without end, and gc does later what could not be done.
func TestStopWhileJournalIsHeld(t *testing.T) {
	t.Parallel()
	h := newHost(t)
	h.start(t, frozen(t, "--name", "web")...)
	lock, err := os.OpenFile(h.Host.File("/run/kvmrun/net/lock"), os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = lock.Close() }()
	if err := unix.Flock(int(lock.Fd()), unix.LOCK_EX); err != nil {
		t.Fatal(err)
	}
	if r := h.run(t, "stop", "--force", "web"); r.ExitCode == 0 || !strings.Contains(r.Stderr, "/run/kvmrun/net/lock") {
		t.Errorf("it does not say what is in the way: %v", r)
	}
	if err := lock.Close(); err != nil {
		t.Fatal(err)
	}
	h.must(t, "gc")
	h.isAsBefore(t)
}

// TestNeighbourExecutesNoStrangersProgram: kvmrun was started from a directory that
// all may write, was removed, and somebody else's program has its name now.
func TestNeighbourExecutesNoStrangersProgram(t *testing.T) {
	t.Parallel()
	h := newHost(t)
	h.sh(t, "mkdir -m 1777 /run/all && cp "+lab.Binary(t)+" /run/all/kvmrun")
	for _, name := range []string{"db", "web"} {
		if r := h.Host.Run(t, "/run/all/kvmrun", startArgs(frozen(t, "--name", name)...)...); r.ExitCode != 0 {
			t.Fatal(r)
		}
	}
	h.sh(t, `cd /run/all && rm kvmrun && printf '#!/bin/sh\necho >/run/all/executed' >kvmrun && chmod 755 kvmrun && chown 12345 kvmrun`)
	killed := h.supervisor(t, "db")
	h.sh(t, fmt.Sprintf("kill -KILL %d", killed))
	lab.Eventually(t, patience, func() error {
		if v := h.inspect(t, "db"); !v.Supervised || v.Details.Supervisor.PID == killed {
			return fmt.Errorf("db has no new supervisor: %+v", v)
		}
		return nil
	})
	if _, err := os.Stat(h.Host.File("/run/all/executed")); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("the program was executed: %v", err)
	}
	h.must(t, "stop", "--all", "--force")
	h.sh(t, "rm -r /run/all")
	h.isAsBefore(t)
}

func (h *host) supervisor(t *testing.T, name string) int {
	t.Helper()
	return h.inspect(t, name).Details.Supervisor.PID
}

// TestRunDirectoryVanishes unmounts it under running VMs: they are listed again,
// and when they end the host is as before.
func TestRunDirectoryVanishes(t *testing.T) {
	t.Parallel()
	h := newHost(t)
	h.sh(t, "echo 37 >/proc/sys/net/ipv4/neigh/eth0/proxy_delay")
	h.before = h.Host.Snapshot(t)
	web := h.startNet(t, append(boot(t), "--name", "web")...)
	db := h.start(t, frozen(t, "--name", "db")...)
	lost := h.supervisor(t, "db")
	h.sh(t, "mv /run/kvmrun /run/lost")
	var found []vm
	lab.Eventually(t, patience, func() error {
		if found = h.list(t); len(found) != 2 {
			return fmt.Errorf("listed: %+v", found)
		}
		return nil
	})
	if found[0].UUID != db.UUID || found[1].UUID != web.UUID || found[1].State != "running" || !found[0].Supervised {
		t.Errorf("listed: %+v", found)
	}
	if now := h.supervisor(t, "db"); now != lost {
		t.Errorf("its supervisor is %d, want %d", now, lost)
	}
	web.reachedFrom(t, h.LAN)
	h.fails(t, 4, startArgs(frozen(t, "--name", "db")...)...)
	if next := h.start(t, frozen(t)...); next.IP == web.IP || next.IP == db.IP {
		t.Errorf("an address was given twice: %+v", next)
	}
	// One ends by its own supervisor, one by another that knows only what was
	// written down anew.
	h.killSupervisors(t, "db")
	h.must(t, "stop", "web")
	h.must(t, "stop", "--all", "--force")
	h.sh(t, "rm -r /run/lost")
	h.isAsBefore(t)
}

// TestNameIsTakenMeanwhile: what has a lost VM's name by now is not touched by it.
func TestNameIsTakenMeanwhile(t *testing.T) {
	t.Parallel()
	h := newHost(t)
	web := h.start(t, frozen(t, "--name", "web")...)
	pid := fmt.Sprint(h.supervisor(t, "web"))
	h.sh(t, `
		kill -STOP `+pid+`
		mv /run/kvmrun /run/lost
		mkdir -p /run/kvmrun/vms/web
		echo mine >/run/kvmrun/vms/web/notes
		kill -CONT `+pid)
	h.kill(t, "KILL", web.PID)
	lab.Eventually(t, patience, func() error {
		if left := h.Host.MustRun(t, "sh", "-c", "ps -eo args | grep '[k]vmrun supervise' || :"); left != "" {
			return fmt.Errorf("still there: %s", left)
		}
		return nil
	})
	if notes := h.sh(t, "cat /run/kvmrun/vms/web/notes"); notes != "mine\n" {
		t.Errorf("what had its name is gone: %q", notes)
	}
	h.sh(t, "rm -r /run/lost /run/kvmrun")
	h.isAsBefore(t)
}

// TestGCAwaitsTheEnd has a QEMU end while gc puts a supervisor on it: gc returns
// when that one has undone what was the VM's.
func TestGCAwaitsTheEnd(t *testing.T) {
	t.Parallel()
	h := newHost(t)
	v := h.start(t, frozen(t, "--name", "web", "--dhcp", "dnsmasq")...)
	// QEMU does not greet, and to end a dnsmasq that stands still takes a while.
	h.sh(t, fmt.Sprintf("kill -STOP %d $(pgrep -f -x 'dnsmasq .*--interface=kr-web .*')", v.PID))
	h.killSupervisors(t, "web")
	gc := h.Host.Start(t, "kvmrun", "gc")
	lab.Eventually(t, patience, func() error {
		if !h.inspect(t, "web").Supervised {
			return errors.New("web has no supervisor yet")
		}
		return nil
	})
	h.sh(t, fmt.Sprintf("kill -KILL %d", v.PID))
	if r := gc.Wait(t, patience); r.ExitCode != 0 {
		t.Error(r)
	}
	if now := h.inspect(t, "web"); now.State != "failed" || now.Supervised {
		t.Errorf("web is %s, supervised: %v", now.State, now.Supervised)
	}
	h.must(t, "stop", "web")
	h.isAsBefore(t)
}

// TestGCUnrecorded is for when everything is lost. That a signal has stopped the
// QEMU does not keep it from writing out its disks and ending.
func TestGCUnrecorded(t *testing.T) {
	t.Parallel()
	h := newHost(t)
	v := h.start(t, frozen(t, "--name", "web")...)
	h.killSupervisors(t, "web")
	h.sh(t, "rm -r /run/kvmrun")
	found := h.gc(t)
	for _, what := range []string{"tap " + v.Tap, "proxy entry " + v.IP, "alias 10.254.254.1"} {
		if !has(found, what, "leave") {
			t.Errorf("%s is not listed: %+v", what, found)
		}
	}
	h.sh(t, fmt.Sprintf("kill -STOP %d", v.PID))
	h.gc(t, "--unrecorded")
	h.before, found = h.before.Without("sysctls"), h.gc(t) // their old values were in the run directory
	if len(found) > 0 {
		t.Errorf("found again: %+v", found)
	}
	now := h.Host.Snapshot(t).WithoutSkeleton().Without("sysctls")
	if diff := h.before.Diff(now); diff != "" {
		t.Errorf("the host is not as before:\n%s", diff)
	}
}
