// Package stats says what VMs use of their host, and what has gone through them: the
// figures, how QEMU's words for them are read, rates between two looks, and the text
// that Prometheus reads. It looks at nothing by itself; launcher.Launcher.Stats does.
//
// A figure that is not known is nil, and left out of the JSON, never zero. Memory and
// traffic are in bytes. Counters begin with QEMU.
package stats

import "time"

// VM is one VM at one moment.
type VM struct {
	Name       string    `json:"name"`
	UUID       string    `json:"uuid"`
	State      string    `json:"state"` // a launcher.Phase
	Supervised bool      `json:"supervised"`
	Time       time.Time `json:"time"` // when it was looked at
	Started    time.Time `json:"started,omitzero"`
	CPUs       int       `json:"cpus"`         // virtual processors
	Memory     int64     `json:"memory_bytes"` // what the guest was given at its start

	// Balloon is what the machine's memory balloon leaves the guest of Memory; nil without one.
	Balloon *uint64 `json:"balloon_bytes,omitempty"`

	QEMU       *Process     `json:"qemu,omitempty"`       // nil if it does not run
	Supervisor *Process     `json:"supervisor,omitempty"` // nil if there is none
	Guest      *GuestMemory `json:"guest_memory,omitempty"`
	Disks      []Disk       `json:"disks,omitzero"` // nil if not known, empty if there are none
	Network    *Network     `json:"network,omitempty"`

	// Unknown says what could not be looked at, and why.
	Unknown []Unknown `json:"unknown,omitempty"`
	// Rates are those since the look before; nil without one.
	Rates *Rates `json:"rates,omitempty"`
}

// Process is one process of a VM's on the host.
type Process struct {
	PID   int     `json:"pid"`
	Start uint64  `json:"-"`           // in clock ticks since boot; PID and Start name one process
	CPU   float64 `json:"cpu_seconds"` // used since its start, by all threads
	*Memory
}

// Memory is what a process holds of the host's.
type Memory struct {
	// PSS is its proportional share: a page that N processes have counts for an Nth.
	PSS uint64 `json:"pss_bytes"`
	// Private is what would be free if it ended.
	Private uint64 `json:"private_bytes"`
	// Swapped is its proportional share of what lies on a swap device.
	Swapped uint64 `json:"swapped_bytes"`
}

// Network is what has gone over the VM's tap, as the guest sees it.
type Network struct {
	Tap             string `json:"tap"`
	ReceivedBytes   uint64 `json:"received_bytes"` // of whole Ethernet frames
	ReceivedPackets uint64 `json:"received_packets"`
	ReceivedDropped uint64 `json:"received_dropped"` // packets for which the guest had no room
	SentBytes       uint64 `json:"sent_bytes"`
	SentPackets     uint64 `json:"sent_packets"`
	SentDropped     uint64 `json:"sent_dropped"` // packets that the host had no room for
}

// Unknown is a part that could not be looked at.
type Unknown struct {
	Part  Part   `json:"part"`
	Error string `json:"error"`
}

// Part is what an Unknown is about.
type Part string

// The parts of a VM's figures that may be unknown.
const (
	PartQEMU       Part = "qemu"       // the process, or its memory
	PartSupervisor Part = "supervisor" // the same
	PartMonitor    Part = "monitor"    // disks and guest_memory, which QEMU tells
	PartNetwork    Part = "network"
)
