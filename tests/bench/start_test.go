package bench

import (
	"testing"

	"kvmrun/qmp"
	"kvmrun/tests/lab"
)

// measureStart takes the time until QEMU executes the guest: until kvmrun
// start has ended, and until the monitor of a QEMU with the same arguments,
// whose tap and files were ready before, says so.
func measureStart(b *testing.B) []row {
	h := newHost(b)
	disk := lab.Guest(b).CopyDisk(b)
	ours := startArgs(disk, "--name", "ours")
	plan := h.plan(b, disk, "--name", "by-hand")
	tap := plan.Spec.Network.Tap
	found := rounds(20,
		func() float64 {
			defer h.stop(b, "ours")
			return taking(func() { h.MustRun(b, "kvmrun", ours...) })
		},
		func() float64 {
			q := h.prepare(b, plan, "ip tuntap add dev "+tap+" mode tap vnet_hdr; ip link set "+tap+" up")
			var monitor *qmp.Client
			taken := taking(func() {
				q.launch(b)
				monitor = q.monitor(b)
				await(b, monitor, "running")
			})
			quit(b, monitor)
			q.ended(b)
			h.MustRun(b, "ip", "link", "delete", tap)
			return taken
		})
	return []row{{
		what: "`start` of a disk image, until it runs", unit: milliseconds,
		kvmrun: found[0], against: "QEMU by hand, its tap ready", other: found[1],
		goal: atMost(1.10).or(atMostMore(.010, milliseconds)),
	}}
}
