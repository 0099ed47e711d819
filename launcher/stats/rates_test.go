package stats

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// look is a VM at a second, all of whose counters have a value.
func look(second int64, n uint64) VM {
	return VM{
		Name: "web", Time: time.Unix(second, 0),
		QEMU:       &Process{PID: 7, Start: 70, CPU: float64(n)},
		Supervisor: &Process{PID: 8, Start: 80, CPU: float64(2 * n)},
		Disks:      []Disk{{Name: "disk0", ReadBytes: n, WrittenBytes: 2 * n, Reads: 3 * n, Writes: 4 * n}, {Name: "disk1", ReadBytes: n}},
		Network:    &Network{ReceivedBytes: 5 * n, SentBytes: 6 * n},
	}
}

func TestBetween(t *testing.T) {
	full := Rates{Seconds: 2, CPU: p(50.), SupervisorCPU: p(100.), Read: p(1.), Written: p(1.), Reads: p(1.5), Writes: p(2.), Received: p(2.5), Sent: p(3.)}
	for name, c := range map[string]struct {
		change func(before, now *VM)
		want   func(r *Rates) *Rates
	}{
		"all": {func(_, _ *VM) {}, func(r *Rates) *Rates { return r }},
		"another QEMU": {
			func(_, now *VM) { now.QEMU.Start++ },
			func(*Rates) *Rates { return nil }},
		"no QEMU any more": {
			func(_, now *VM) { now.QEMU = nil },
			func(*Rates) *Rates { return nil }},
		"at the same time": {
			func(before, now *VM) { now.Time = before.Time },
			func(*Rates) *Rates { return nil }},
		"another supervisor": {
			func(_, now *VM) { now.Supervisor.PID++ },
			func(r *Rates) *Rates { r.SupervisorCPU = nil; return r }},
		"a tap made anew": {
			func(_, now *VM) { now.Network.ReceivedBytes = 1 },
			func(r *Rates) *Rates { r.Received = nil; return r }},
		"a monitor that was busy": {
			func(before, _ *VM) { before.Disks = nil },
			func(r *Rates) *Rates { r.Read, r.Written, r.Reads, r.Writes = nil, nil, nil, nil; return r }},
		"a disk that was put in": {
			func(_, now *VM) { now.Disks = append(now.Disks, Disk{Name: "disk2", ReadBytes: 1 << 40}) },
			func(r *Rates) *Rates { return r }},
		"a disk that is another's by now": {
			func(before, _ *VM) { before.Disks[1].ReadBytes = 1 << 40 },
			func(r *Rates) *Rates { r.Read = p(.5); return r }},
	} {
		before, now := look(10, 100), look(12, 101)
		c.change(&before, &now)
		expected := full
		if want, got := c.want(&expected), Between(before, now); !cmp.Equal(want, got) {
			t.Errorf("%s:\n%s", name, cmp.Diff(want, got))
		}
	}
}
