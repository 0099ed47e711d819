package e2e

import (
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"kvmrun/tests/lab"
)

const recordOfWeb = "/run/kvmrun/vms/web/state.json"

// TestRecordIsDamaged under a supervisor's eyes: it is written anew, and whoever
// stops the VM meanwhile waits for that.
func TestRecordIsDamaged(t *testing.T) {
	t.Parallel()
	h := newHost(t)
	v := h.start(t, frozen(t, "--name", "web")...)
	h.sh(t, "echo '{bad' >"+recordOfWeb)
	if r := h.run(t, "host", "check"); r.ExitCode != 15 || !strings.Contains(r.Stdout, "state.json is damaged") {
		t.Errorf("host check does not tell of it: %s", r)
	}
	lab.Eventually(t, patience, func() error {
		if r := h.Host.Run(t, "kvmrun", "inspect", "web"); r.ExitCode != 0 {
			return fmt.Errorf("it is not mended: %s", r)
		}
		return nil
	})
	if now := h.inspect(t, "web"); now.PID != v.PID || now.State != "paused" || !now.Supervised {
		t.Errorf("it is %+v", now)
	}
	h.sh(t, "head -c 100 /run/kvmrun/vms/web/spec.json >/run/half; cat /run/half >/run/kvmrun/vms/web/spec.json; rm /run/half "+recordOfWeb)
	h.must(t, "stop", "--force", "web")
	h.isAsBefore(t)
}

// TestRecordIsDamagedAndNobodyLooks names the process and the way out.
func TestRecordIsDamagedAndNobodyLooks(t *testing.T) {
	t.Parallel()
	h := newHost(t)
	v := h.start(t, frozen(t, "--name", "web")...)
	h.start(t, frozen(t, "--name", "zoe")...)
	h.sh(t, "kill -KILL "+fmt.Sprint(h.supervisor(t, "web"), " ", h.supervisor(t, "zoe"))+"; echo '{bad' >"+recordOfWeb)
	message := h.fails(t, 13, "stop", "--force", "web")
	if !strings.Contains(message, fmt.Sprintf("(process %d)", v.PID)) {
		t.Errorf("stop does not name its QEMU: %s", message)
	}
	if r := h.run(t, "gc"); r.ExitCode != 13 || strings.Count(r.Stderr, "\n") != 1 {
		t.Errorf("gc does not tell of it: %s", r)
	}
	if !h.inspect(t, "zoe").Supervised {
		t.Error("for one record that is damaged, another VM gets no supervisor")
	}
	h.kill(t, "TERM", v.PID)
	h.must(t, "stop", "--force", "zoe")
	h.sh(t, "rm -r /run/kvmrun/vms/web")
	lab.Eventually(t, patience, func() error {
		h.Host.Run(t, "kvmrun", "gc", "--unrecorded")
		return asError(h.change(t))
	})
}

// TestRecordOfNewerVersion is left alone by this kvmrun.
func TestRecordOfNewerVersion(t *testing.T) {
	t.Parallel()
	h := newHost(t)
	v := h.start(t, frozen(t, "--name", "web")...)
	h.killSupervisors(t, "web")
	h.sh(t, `sed -i 's/"version": 1/"version": 2/' `+recordOfWeb)
	for _, command := range [][]string{{"stop", "web"}, {"adopt", "web"}, {"gc"}, {"list"}, {"inspect", "web"}} {
		if r := h.run(t, command...); r.ExitCode != 13 || !strings.Contains(r.Stderr, "has version 2; this kvmrun knows up to 1") {
			t.Errorf("it is not told why: %s", r)
		}
	}
	h.start(t, frozen(t, "--name", "other")...)
	h.must(t, "stop", "--force", "other")
	h.sh(t, `sed -i 's/"version": 2/"version": 1/' `+recordOfWeb)
	if now := h.inspect(t, "web"); now.PID != v.PID || now.Supervised {
		t.Errorf("it is not as it was left: %+v", now)
	}
	h.must(t, "stop", "--force", "web")
	h.isAsBefore(t)
}

// TestPIDsAreReused gives the PIDs of a VM's dead processes to others: those are
// neither taken for it nor signalled.
func TestPIDsAreReused(t *testing.T) {
	t.Parallel()
	h := newHost(t)
	v := h.start(t, frozen(t, "--name", "web")...)
	supervisor := h.supervisor(t, "web")
	h.killAll(t, v)
	pids := []int{v.PID, supervisor}
	var strangers []*lab.Process
	for _, pid := range pids {
		strangers = append(strangers, h.reuse(t, pid))
	}
	if now := h.inspect(t, "web"); now.State != "dead" || now.PID != 0 {
		t.Errorf("a stranger is taken for it: %+v", now)
	}
	h.must(t, "stop", "web")
	for i, stranger := range strangers {
		select {
		case <-stranger.Done():
			t.Errorf("a stranger was ended: %s", stranger.Wait(t, patience))
		default:
			h.sh(t, fmt.Sprintf("kill -KILL %d", pids[i])) // the shell that waits for it ends
			stranger.Wait(t, patience)
		}
	}
	h.isAsBefore(t)
}

// reuse starts a process that has a PID which was another's.
func (h *host) reuse(t *testing.T, pid int) *lab.Process {
	t.Helper()
	script := fmt.Sprintf(`while :; do
		echo %d >/proc/sys/kernel/ns_last_pid
		sleep 1000 &
		[ $! = %[2]d ] && { echo reused; wait; exit; }
		kill $!
	done`, pid-1, pid)
	p := h.Host.Start(t, "sh", "-c", script)
	p.Stdout.WaitFor(t, "reused", patience)
	return p
}

// TestClockJumps shows times that cannot be, as of a VM that will start next year.
func TestClockJumps(t *testing.T) {
	t.Parallel()
	h := newHost(t)
	h.start(t, frozen(t, "--name", "web")...)
	h.killSupervisors(t, "web")
	thisYear := time.Now().Year()
	for year, leastDays := range map[int]int{1970: (thisYear - 1971) * 365, thisYear + 2: 0, 2106: 0} {
		h.sh(t, fmt.Sprintf(`sed -i -E 's/"(created|started)": "[0-9]{4}/"\1": "%d/' %s`, year, recordOfWeb))
		state, up := stateAndUp(t, h.must(t, "list"))
		if state != "paused (unsupervised)" {
			t.Errorf("started in %d: the state is %q", year, state)
		}
		days, err := strconv.Atoi(strings.TrimSuffix(up, "d"))
		if leastDays == 0 && up != "0s" || leastDays > 0 && (err != nil || days < leastDays || days > leastDays+2*366) {
			t.Errorf("started in %d: up for %q, want at least %d days", year, up, leastDays)
		}
	}
	h.must(t, "gc")
	h.must(t, "stop", "--force", "web")
	h.isAsBefore(t)
}

// stateAndUp reads the one VM's row of what list prints. Two spaces or more are
// between its columns.
func stateAndUp(t *testing.T, table string) (state, up string) {
	t.Helper()
	lines := strings.Split(strings.TrimSpace(table), "\n")
	if len(lines) < 2 {
		t.Fatalf("no VM is listed:\n%s", table)
	}
	columns := regexp.MustCompile(` {2,}`)
	names, values := columns.Split(lines[0], -1), columns.Split(lines[1], -1)
	if len(names) != len(values) {
		t.Fatalf("not a value for each column:\n%s", table)
	}
	return values[slices.Index(names, "STATE")], values[slices.Index(names, "UP")]
}
