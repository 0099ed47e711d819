// Package qemu builds QEMU's argument vector. Building is pure: the same
// Config gives the same vector, nothing on the host is looked at, and nothing
// happens. The options are those that QEMU 7.2 and 10.0 share.
package qemu

import "net"

// Machine types that kvmrun knows how to furnish with devices.
const (
	Q35     = "q35"
	PC      = "pc"
	MicroVM = "microvm"
)

// Accelerators.
const (
	KVM = "kvm"
	TCG = "tcg"
)

// NetForm is the way the network card and its tap are written down.
type NetForm string

const (
	// FormNet is the classic pair `-net nic … -net tap …`. It serves every
	// model, goes through QEMU's hub 0 and so loses offloads and vhost.
	FormNet NetForm = "net"
	// FormNetdev is `-netdev tap … -device …`: no hub, and vhost if there is one.
	FormNetdev NetForm = "netdev"
)

// Config says everything about one QEMU process. Whatever QEMU opens is named
// by a Source, so that the same Config can be written for a QEMU that is handed
// descriptors and for one that a person starts by hand.
type Config struct {
	Binary  string // the program, argument zero
	Name    string // -name; shown by QEMU and by ps
	UUID    string // SMBIOS system UUID
	Machine string // Q35, PC or MicroVM
	Accel   string // KVM or TCG
	CPU     string // -cpu; "" takes the accelerator's widest
	CPUs    int    // virtual CPUs, at least 1
	Memory  int64  // bytes, a multiple of 1 MiB

	Disks    []Disk
	Boot     Boot
	UEFI     *UEFI // nil for the machine's BIOS
	NIC      NIC
	Console  Console
	Screen   *Screen // nil for none
	TPM      *TPM    // nil for none
	Shares   []Share
	Monitors []Socket
	// Agent is the path of two pipes to the guest's agent, without their endings .in
	// and .out; "" for no port.
	Agent Source
	// VSock is an open /dev/vhost-vsock for the guest's address in that family, CID;
	// 0 for no such device.
	VSock int
	CID   uint32

	// Sets are the descriptors that Sources of the form /dev/fdset/N stand
	// for (`-add-fd`; docs of QEMU: qemu-options.hx).
	Sets []FDSet
	// Extra is appended as it is.
	Extra []string
}

// FDSet makes one inherited descriptor known as /dev/fdset/Set.
type FDSet struct{ FD, Set int }

// Source is a path that QEMU opens: a real one, /dev/fdset/N or
// /proc/self/fd/N.
type Source string

// Disk is a virtual disk made of image layers, the topmost first.
type Disk struct {
	ID     string // node and device name, such as disk0
	Layers []Layer
	// Data says that there is nothing to boot on it.
	Data bool
}

// Layer is one image of a disk's backing chain.
type Layer struct {
	Source   Source
	Format   string // a block driver: qcow2, raw
	Block    bool   // a block device, not a file
	ReadOnly bool
}

// Boot is a kernel that QEMU loads by itself, in place of a boot loader.
type Boot struct {
	Kernel, Initrd Source // "" for none
	Append         string // the kernel's command line
	// Firmware is the -bios; "" for the machine's own.
	Firmware string
}

// NIC is the one network card and the tap behind it.
type NIC struct {
	Form  NetForm
	Model string // virtio-net-pci, e1000, rtl8139, …
	MAC   net.HardwareAddr
	Tap   Tap
}

// Tap is the host's end of the card: inherited descriptors, or the name of an
// interface that QEMU opens by itself.
type Tap struct {
	FDs      []int  // one for each queue
	VhostFDs []int  // one for each queue, or none for no vhost
	Name     string // used if there are no descriptors
}

// Socket is a listening Unix socket: an inherited descriptor, or a path that
// QEMU binds by itself if FD is 0.
type Socket struct {
	ID   string
	FD   int
	Path string
}

// Console is the first serial port: a socket for whoever attaches, and a log
// that keeps everything from the first byte of firmware output.
type Console struct {
	Socket Socket
	Log    Source
}
