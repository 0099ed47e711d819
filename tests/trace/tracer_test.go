package trace

import (
	"slices"
	"testing"
)

// Who dies with whom: a child that is not yet another program counts as what it is
// to become.
func TestCondemned(t *testing.T) {
	processes := map[string]*process{
		"command":           {role: Command},
		"supervisor":        {role: Supervisor},
		"to become QEMU":    {role: Supervisor, forked: true},
		"neighbour":         {role: Neighbour},
		"to become a hired": {role: Neighbour, forked: true},
		"QEMU":              {role: QEMU},
		"stranger":          {},
	}
	for _, test := range []struct {
		victims []Role
		want    []string
	}{
		{nil, nil},
		{[]Role{Supervisor}, []string{"supervisor", "to become a hired"}},
		{[]Role{Neighbour}, []string{"neighbour"}},
		{[]Role{QEMU}, []string{"QEMU", "to become QEMU"}},
		{[]Role{Command, Caller}, []string{"command", "stranger"}},
	} {
		tracer := tracer{order: Order{Victims: test.victims}}
		var got []string
		for name, p := range processes {
			if tracer.condemned(p, processes["stranger"]) {
				got = append(got, name)
			}
		}
		slices.Sort(got)
		slices.Sort(test.want)
		if !slices.Equal(got, test.want) {
			t.Errorf("of %v die %v, want %v", test.victims, got, test.want)
		}
	}
}
