package torture

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"kvmrun/tests/lab"
)

// plan is what one cycle does: a VM of some kind is started, something is
// killed at some time, and the VM is stopped.
type plan struct {
	kind   string
	victim string
	after  time.Duration // of the start, or of the stop where that is the victim
}

func (p plan) String() string {
	return fmt.Sprintf("%s, %s killed after %v", p.kind, p.victim, p.after)
}

// The kinds of VMs, and who is killed. Whoever stands here more often comes more
// often.
var (
	kinds   = []string{"frozen", "frozen", "LAN"}
	victims = []string{"nobody", "nobody", "start", "supervisor", "QEMU", "supervisor and QEMU", "stop"}
)

// planner makes plans by chance, the same for the same seed.
type planner struct {
	sync.Mutex
	chance *rand.Rand
	kills  map[string]int
}

func newPlanner(seed uint64) *planner {
	return &planner{chance: rand.New(rand.NewPCG(seed, 0)), kills: map[string]int{}}
}

func (p *planner) next() plan {
	p.Lock()
	defer p.Unlock()
	next := plan{
		kind:   kinds[p.chance.IntN(len(kinds))],
		victim: victims[p.chance.IntN(len(victims))],
		after:  time.Duration(p.chance.IntN(600)) * time.Millisecond,
	}
	p.kills[next.victim]++
	return next
}

// String tells how often who was to be killed.
func (p *planner) String() string {
	var parts []string
	for _, victim := range slices.Sorted(maps.Keys(p.kills)) {
		parts = append(parts, fmt.Sprintf("%s %d", victim, p.kills[victim]))
	}
	return "Killed: " + strings.Join(parts, ", ") + "."
}

// cycle carries out a plan. After it there is no VM of the slot; what a killed
// command or supervisor left beside is gc's.
func (m *machine) cycle(t *testing.T, slot int, p plan) error {
	t.Helper()
	name := fmt.Sprintf("vm-%d", slot)
	began := time.Now()
	start := m.Host.Start(t, "kvmrun", m.kindArgs(t, p.kind, name, slot)...)
	switch p.victim {
	case "nobody", "stop":
	case "start":
		await(start, began.Add(p.after))
		start.Signal(t, unix.SIGKILL)
	default:
		await(nil, began.Add(p.after))
		// There may be nothing of it yet, or no longer.
		_ = m.killProcesses(t, name, strings.Split(p.victim, " and ")...)
	}
	r := start.Wait(t, patience)
	if r.ExitCode != 0 && (p.victim == "nobody" || p.victim == "stop") {
		return fmt.Errorf("start: %s", r)
	}
	if p.victim == "stop" {
		stop := m.Host.Start(t, "kvmrun", "stop", "--force", name)
		await(stop, time.Now().Add(p.after/8))
		stop.Signal(t, unix.SIGKILL)
		stop.Wait(t, patience)
	}
	const noSuchVM = 3
	if r := m.Host.Run(t, "kvmrun", "stop", "--force", name); r.ExitCode != 0 && r.ExitCode != noSuchVM {
		return fmt.Errorf("stop: %s", r)
	}
	return nil
}

// await waits for a time, or for a process to end before.
func await(p *lab.Process, until time.Time) {
	var done <-chan struct{}
	if p != nil {
		done = p.Done()
	}
	select {
	case <-time.After(time.Until(until)):
	case <-done:
	}
}

// kindArgs is the command line that starts a VM of a kind.
func (m *machine) kindArgs(t *testing.T, kind, name string, slot int) []string {
	t.Helper()
	if kind == "LAN" {
		return []string{"start", m.disk, "--accel", "tcg", "--name", name, "--memory", "16M", "--ephemeral",
			"--ip", fmt.Sprintf("192.0.2.%d", 50+slot), "--dhcp", "dnsmasq", "--", "-S"}
	}
	return frozenAs(t, name)
}
