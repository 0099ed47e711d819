package bench

import (
	"fmt"
	"sync"
	"testing"

	"kvmrun/qmp"
)

// measureStop ends VMs that are frozen, by kvmrun stop --force and by the
// monitor's quit. Either QEMU holds the one descriptor of its tap, so that
// the kernel deletes that as it exits.
func measureStop(b *testing.B) []row {
	h := newHost(b)
	one := rounds(15,
		func() float64 { return h.stopOurs(b, 1) },
		func() float64 { return h.quitByHand(b, 1, "") })
	const crowd = 16
	many := rounds(5,
		func() float64 { return h.stopOurs(b, crowd) / crowd },
		func() float64 { return h.quitByHand(b, crowd, "") / crowd })
	const hundred = 100
	hundreds := rounds(5,
		func() float64 { return h.stopOurs(b, hundred) / hundred },
		func() float64 { return h.quitByHand(b, hundred, deleteGroup) / hundred },
		func() float64 { return h.quitByHand(b, hundred, deleteEach) / hundred })
	return []row{
		{
			what: "`stop --force`, until QEMU and its tap are gone", unit: milliseconds,
			kvmrun: one[0], against: "`quit` by hand, until QEMU has exited", other: one[1],
			goal: atMostMore(.025, milliseconds),
		},
		{
			what: fmt.Sprintf("`stop --all --force` of %d, each", crowd), unit: milliseconds,
			kvmrun: many[0], against: "`quit` by hand to all, each", other: many[1],
			goal: below(.010, milliseconds),
		},
		{
			what: fmt.Sprintf("`stop --all --force` of %d, each", hundred), unit: milliseconds,
			kvmrun: hundreds[0], against: "`quit` by hand to all, their taps deleted by link group, each", other: hundreds[1],
			goal: atMost(2),
		},
		{
			what: fmt.Sprintf("`stop --all --force` of %d, each", hundred), unit: milliseconds,
			kvmrun: hundreds[0], against: "`quit` by hand to all, their taps deleted one after another, each", other: hundreds[2],
		},
	}
}

// tapGroup is the link group of the taps by hand.
const tapGroup = "77"

// Ways to delete the taps by hand.
const (
	deleteGroup = "ip link delete group " + tapGroup
	deleteEach  = "ip -o link show group " + tapGroup + ` | sed 's/^[0-9]*: /link delete /; s/:.*//' | ip -batch -`
)

// stopOurs starts n VMs and returns how long it took to stop them.
func (h *host) stopOurs(b *testing.B, n int) float64 {
	for i := range n {
		h.MustRun(b, "kvmrun", startArgs(frozen(b, "--name", fmt.Sprintf("ours%d", i))...)...)
	}
	return taking(func() { h.MustRun(b, "kvmrun", "stop", "--all", "--force") })
}

// quitByHand does the same without kvmrun. A command deletes their taps
// first; without one, each goes with its QEMU.
func (h *host) quitByHand(b *testing.B, n int, deleteTaps string) float64 {
	// All are planned before the first has a route, which would rule out the
	// others' subnet.
	plans := make([]plan, n)
	for i := range n {
		plans[i] = h.plan(b, frozen(b, "--name", fmt.Sprintf("by-hand%d", i), "--ip", fmt.Sprintf("10.254.254.%d", 100+i))...)
	}
	vms, monitors := make([]*byHand, n), make([]*qmp.Client, n)
	for i, p := range plans {
		vms[i] = h.prepare(b, p, "")
		vms[i].launch(b)
		monitors[i] = vms[i].monitor(b)
		await(b, monitors[i], "prelaunch")
		network := p.Spec.Network // its tap is QEMU's work
		h.MustRun(b, "sh", "-ec", "ip link set "+network.Tap+" up group "+tapGroup+"; ip route add "+network.IP+" dev "+network.Tap)
	}
	return taking(func() {
		if deleteTaps != "" {
			h.MustRun(b, "sh", "-ec", deleteTaps)
		}
		var all sync.WaitGroup
		for i := range n {
			all.Go(func() { quit(b, monitors[i]) })
		}
		all.Wait()
		for i := range n {
			vms[i].ended(b)
		}
	})
}
