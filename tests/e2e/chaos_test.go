package e2e

import (
	"fmt"
	"math/rand/v2"
	"os"
	"slices"
	"strings"
	"testing"

	"kvmrun/tests/lab"
)

// losers are the statuses by which a command may end that others were quicker
// than: not found, name taken, image in use, address taken, VM ended first.
var losers = []int{0, 3, 4, 8, 9, 14}

// TestHundredCommandsAtOnce has starts, stops and gc's want the same few names,
// addresses and images at the same time.
func TestHundredCommandsAtOnce(t *testing.T) {
	t.Parallel()
	h := newHost(t)
	const seed = 5
	random := rand.New(rand.NewPCG(seed, seed))
	pick := func(of ...string) string { return of[random.IntN(len(of))] }
	h.sh(t, `for n in 1 2 3; do truncate -s 64K /run/disk$n.raw; done`)
	h.before = h.Host.Snapshot(t)
	name := func() string { return pick("a", "b", "c", "d", "e") }
	var commands []*lab.Process
	for i := range 100 {
		var args []string
		switch i % 4 {
		case 0, 1:
			args = []string{"--name", name()}
			if random.IntN(2) == 0 {
				args = append(args, "--ip", pick("10.254.254.20", "10.254.254.21", "10.254.254.22"))
			}
			disk := "/run/disk" + pick("1", "2", "3") + ".raw"
			args = startArgs(frozen(t, append(args, "--format", "raw", "--disk", disk)...)...)
		case 2:
			args = []string{"stop", "--force", name()}
		case 3:
			args = []string{"gc"}
		}
		commands = append(commands, h.Host.Start(t, "kvmrun", args...))
	}
	for _, p := range commands {
		r := p.Wait(t, 6*patience)
		if !slices.Contains(losers, r.ExitCode) {
			t.Errorf("one of many: %s", r)
		}
		if r.ExitCode != 0 && (strings.Count(r.Stderr, "\n") != 1 || !strings.HasPrefix(r.Stderr, "kvmrun: ")) {
			t.Errorf("it does not say in one line why: %s", r)
		}
	}
	h.isConsistent(t)
	h.must(t, "stop", "--all", "--force")
	h.isAsBefore(t)
}

// isConsistent checks that every VM has what it should have, and nothing belongs
// to two.
func (h *host) isConsistent(t *testing.T) {
	t.Helper()
	h.must(t, "gc") // and nobody is just about to end
	vms := h.list(t, "-a")
	seen := map[string]string{}
	for _, v := range vms {
		if v.State == "failed" {
			continue
		}
		d := h.inspect(t, v.Name)
		if v.State != "paused" || !v.Supervised || !strings.Contains(strings.Join(d.Command, " "), v.UUID) {
			t.Errorf("it is not whole: %+v", v)
		}
		for _, own := range []string{v.IP, v.MAC, v.Tap, v.UUID, fmt.Sprint(v.PID), d.Spec.Disks[0].Path} {
			if other := seen[own]; other != "" {
				t.Errorf("%s and %s both have %s", v.Name, other, own)
			}
			seen[own] = v.Name
		}
	}
	if found := h.gc(t, "--dry-run"); len(found) > 0 {
		t.Errorf("left over: %+v", found)
	}
}

// TestStartsDoNotWaitForOneAnother: while one waits for a QEMU that never greets,
// others come and go.
func TestStartsDoNotWaitForOneAnother(t *testing.T) {
	t.Parallel()
	h := newHost(t)
	silent := h.script(t, "qemu-silent", "exec sleep 1000")
	slow := h.Host.Start(t, "kvmrun", startArgs(frozen(t, "--name", "slow", "--qemu", silent)...)...)
	h.awaitState(t, "slow", "starting")
	h.start(t, frozen(t, "--name", "web")...)
	h.must(t, "gc")
	h.must(t, "adopt", "web")
	h.must(t, "stop", "--force", "web")
	select {
	case <-slow.Done():
		t.Fatalf("the slow one is done: %s", slow.Wait(t, patience))
	default:
	}
	slow.Signal(t, os.Interrupt)
	if r := slow.Wait(t, 2*patience); r.ExitCode != 130 {
		t.Errorf("the slow one: %s", r)
	}
	h.isAsBefore(t)
}
