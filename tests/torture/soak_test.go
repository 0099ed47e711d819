package torture

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"kvmrun/tests/document"
	"kvmrun/tests/lab"
)

// soakSection is that of the document with the soak's table.
const soakSection = "soak"

const (
	shortSoak = 24   // cycles that take less than half a minute
	longSoak  = 1000 // cycles that the document tells of
	crowd     = 4    // VMs that come and go side by side
	windows   = 12   // how often is looked for what grows
)

// lasting are the VMs that stay all the while.
var lasting = []string{"lasting-1", "lasting-2"}

// TestSoak starts and stops VMs beside two that stay, kills at random, and looks
// for what grows. The same seed makes the same plans; who meets whom is chance.
func TestSoak(t *testing.T) {
	if *onePoint != "" || *only != "" {
		t.Skip("skipped: the command line asks for points of TestTorture")
	}
	m := newMachine(t)
	for _, name := range lasting {
		if _, err := m.run(t, frozenAs(t, name)...); err != nil {
			t.Fatal(err)
		}
	}
	m.before = m.withLasting(t)
	plans := newPlanner(*seed)
	fmt.Printf("soak: %d cycles, seed %d\n", *cycles, *seed)
	var g growth
	g.look(t, m)
	for w := range windows {
		m.window(t, w, *cycles*(w+1)/windows-*cycles*w/windows, plans)
		if t.Failed() {
			return
		}
		g.look(t, m)
	}
	result := fmt.Sprintf("%d cycles, %d VMs side by side, seed %d. %s\n\n%s", *cycles, crowd, *seed, plans, g.table())
	fmt.Printf("\n%s", result)
	for _, s := range g.grown(*cycles) {
		t.Errorf("%s grows: %v", s.name, s.values)
	}
	storeSoak(t, result)
}

func storeSoak(t *testing.T, result string) {
	t.Helper()
	if *storeTo == "" {
		return
	}
	if *cycles < longSoak || t.Failed() {
		fmt.Printf("\n%s is left as it is: not %d cycles, or not all was well\n", *storeTo, longSoak)
		return
	}
	if err := document.Store(*storeTo, soakSection, result); err != nil {
		t.Fatal(err)
	}
}

// window runs some cycles and checks that only the lasting VMs are left.
func (m *machine) window(t *testing.T, number, cycles int, plans *planner) {
	t.Helper()
	t.Run(fmt.Sprintf("window-%d", number+1), func(t *testing.T) {
		for slot := range crowd {
			t.Run(fmt.Sprintf("vm-%d", slot), func(t *testing.T) {
				t.Parallel()
				for n := slot; n < cycles; n += crowd {
					p := plans.next()
					if err := m.cycle(t, slot, p); err != nil {
						t.Errorf("%s: %v", p, err)
					}
				}
			})
		}
	})
	err := m.settle(t)
	if err == nil {
		_, err = m.run(t, "gc")
	}
	if err == nil {
		if diff := m.before.Diff(m.withLasting(t)); diff != "" {
			err = fmt.Errorf("the host is not as before:\n%s", diff)
		}
	}
	if err != nil {
		t.Errorf("after window %d: %v\n%s", number+1, err, m.describe(t))
	}
}

// withLasting is the state of a host on which the lasting VMs run: what their
// supervisors write down is left out.
func (m *machine) withLasting(t *testing.T) lab.Snapshot {
	t.Helper()
	s := m.Host.Snapshot(t).WithoutSkeleton()
	s["files"] = slices.DeleteFunc(s["files"], func(line string) bool {
		return strings.HasPrefix(line, "/run/kvmrun/vms/lasting-")
	})
	return s
}
