package launcher

import (
	"fmt"

	"kvmrun/launcher/qemu"
)

// EventReachable is the event that the guest answers at its address.
const EventReachable = "reachable"

// QEMUConfig is QEMU's configuration for a completed Spec, but for what the
// supervisor hands it: disk layers, kernel, tap and sockets. Their identifiers
// are set.
func (s *Spec) QEMUConfig() qemu.Config {
	c := qemu.Config{
		Binary: s.QEMU, Name: s.Name, UUID: s.UUID,
		Machine: s.Machine, Accel: s.Accel, CPU: s.CPU, CPUs: s.CPUs, Memory: s.Memory,
		Boot:     qemu.Boot{Append: s.Boot.Append, Firmware: s.Boot.Firmware},
		NIC:      qemu.NIC{Form: s.Network.Form, Model: s.Network.Model, MAC: s.Network.MAC.HardwareAddr()},
		Console:  qemu.Console{Socket: qemu.Socket{ID: "console0"}},
		Monitors: []qemu.Socket{{ID: "qmp-supervisor"}, {ID: "qmp-user"}},
		Extra:    s.Extra,
	}
	if s.Screen {
		c.Screen = new(qemu.Screen)
	}
	for i := range s.Disks {
		c.Disks = append(c.Disks, qemu.Disk{ID: fmt.Sprintf("disk%d", i)})
	}
	return c
}
