package badinput

import (
	"slices"
	"testing"
	"time"

	"kvmrun/tests/lab"
)

// Several starts at the same instant that want the same: one gets it, and the
// others are told why not.
func TestSameInstant(t *testing.T) {
	const many = 4
	for _, c := range []struct {
		name    string
		args    func(i int) []string
		refusal refusal
	}{
		{"name", func(int) []string { return []string{"--name", "web", "--ephemeral"} },
			refusal{status: exitExists, says: []string{"start web", "--name"}}},
		{"address", func(i int) []string {
			return []string{"--name", "web-" + string(rune('a'+i)), "--ip", "10.254.254.7", "--ephemeral"}
		},
			refusal{status: exitAddress, says: []string{"10.254.254.7", "in use by VM web-", "--ip"}}},
		{"image", func(i int) []string { return []string{"--name", "web-" + string(rune('a'+i))} },
			refusal{status: exitImageInUse, says: []string{"good.qcow2", "--ephemeral"}}},
	} {
		t.Run(c.name, func(t *testing.T) {
			h := newHost(t)
			newDisks(t, h)
			h.used(t)
			t.Cleanup(func() { h.Run(t, "kvmrun", "stop", "--force", "--all") })
			var started []*lab.Process
			for i := range many {
				args := concat(small, []string{"/run/img/good.qcow2"}, c.args(i), idle)
				started = append(started, h.Start(t, "kvmrun", args...))
			}
			var statuses []int
			for _, p := range started {
				r := p.Wait(t, time.Minute)
				statuses = append(statuses, r.ExitCode)
				if r.ExitCode != 0 {
					c.refusal.check(t, r)
				}
			}
			slices.Sort(statuses)
			want := []int{0, c.refusal.status, c.refusal.status, c.refusal.status}
			if !slices.Equal(statuses, want) {
				t.Errorf("exit statuses %v, want %v", statuses, want)
			}
			h.MustRun(t, "kvmrun", "stop", "--force", "--all")
			for range many { // records of those whose QEMU found the lock taken
				h.Run(t, "kvmrun", "stop", "--all")
			}
			h.unchanged(t)
		})
	}
}
