package launcher

import (
	"strings"
	"testing"
)

var phases = []Phase{"", Starting, Running, Paused, Stopping, Failed, Dead}

// TestLives goes through what VMs go through, phase by phase.
func TestLives(t *testing.T) {
	for name, life := range map[string][]Phase{
		"stopped while it runs":         {Starting, Running, Stopping},
		"started with -S and continued": {Starting, Paused, Running, Stopping},
		"paused and continued":          {Starting, Running, Paused, Running},
		"stopped while it is paused":    {Starting, Paused, Stopping},
		"given up before it runs":       {Starting, Stopping},
		"QEMU fails as it comes up":     {Starting, Failed},
		"QEMU crashes":                  {Starting, Running, Failed},
		"QEMU crashes while paused":     {Starting, Paused, Failed},
		"QEMU crashes while it stops":   {Starting, Running, Stopping, Failed},
	} {
		var s State
		for _, phase := range life {
			if err := s.Move(phase); err != nil || s.Phase != phase {
				t.Errorf("%s: %v, is %q, want %q", name, err, s.Phase, phase)
				break
			}
		}
	}
}

// TestNoWayThere tries every move that would make a lie of the record.
func TestNoWayThere(t *testing.T) {
	for why, never := range map[string]func(from, to Phase) bool{
		"a VM begins by starting":                      func(from, to Phase) bool { return from == "" && to != Starting },
		"it starts once":                               func(from, to Phase) bool { return from != "" && to == Starting },
		"a phase is not entered from itself":           func(from, to Phase) bool { return from == to },
		"none loses its phase":                         func(_, to Phase) bool { return to == "" },
		"what is over stays over":                      func(from, _ Phase) bool { return from == Failed || from == Dead },
		"who has been asked to end does not run again": func(from, to Phase) bool { return from == Stopping && to != Failed },
		"dead is seen by others, never written":        func(_, to Phase) bool { return to == Dead },
	} {
		for _, from := range phases {
			for _, to := range phases {
				if !never(from, to) {
					continue
				}
				s := State{Phase: from}
				err := s.Move(to)
				if err == nil || s.Phase != from {
					t.Errorf("%s: from %q to %q: %v, is %q", why, from, to, err, s.Phase)
				} else if !strings.Contains(err.Error(), string(from)) || !strings.Contains(err.Error(), string(to)) {
					t.Errorf("from %q to %q: %v does not name both", from, to, err)
				}
			}
		}
	}
}
