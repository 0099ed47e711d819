package launcher

import (
	"net/netip"
	"slices"

	"kvmrun/images"
	"kvmrun/images/store"
	"kvmrun/launcher/qemu"
	"kvmrun/netplumb"
)

// SpecVersion is the version of Spec that this kvmrun writes. A Spec of a
// higher version is refused, never misread.
const SpecVersion = 1

// Spec is one VM as it was asked for: the same for flags, files, the Go API
// and the state on disk. The zero value of a field leaves the choice to
// kvmrun; a completed Spec has no choices left in it.
type Spec struct {
	Version int    `json:"version"`
	Name    string `json:"name"`
	UUID    string `json:"uuid"` // the machine's, also when it is started again
	// Run tells this start of the VM from all others, and is what commands mean it by.
	Run string `json:"run,omitempty"`
	// HostName is what the guest is told that it is called; made from Name if empty.
	HostName string `json:"hostname,omitempty"`

	Disks        []Disk `json:"disks,omitempty"`
	AllowBacking bool   `json:"allow_backing,omitempty"`
	Boot         Boot   `json:"boot,omitzero"`
	UEFI         *UEFI  `json:"uefi,omitempty"` // nil for the machine's BIOS
	// FirstBoot makes a seed disk for the guest's cloud-init; nil for none.
	FirstBoot *FirstBoot `json:"first_boot,omitempty"`

	Machine string `json:"machine"` // q35, pc or microvm
	Accel   string `json:"accel"`   // auto, kvm or tcg
	CPU     string `json:"cpu,omitempty"`
	CPUs    int    `json:"cpus"`
	Memory  int64  `json:"memory"` // bytes

	Network Network `json:"network"`
	// Screen is a graphics card, whose picture is shown by VNC on a socket of the VM's.
	Screen bool    `json:"screen,omitempty"`
	TPM    *TPM    `json:"tpm,omitempty"` // nil for none
	Shares []Share `json:"shares,omitempty"`

	// CID is the guest's address in the vsock address family (vsock(7)), where the host
	// has that; no other VM of the run directory has the same.
	CID uint32 `json:"vsock_cid,omitempty"`

	QEMU  string      `json:"qemu"` // the program
	RunAs Credentials `json:"run_as"`
	Extra []string    `json:"extra,omitempty"` // appended to QEMU's arguments
}

// Disk is a disk image that the VM gets as a virtio disk.
type Disk struct {
	// Path is the image's file. A word without a slash that is no file here is the name
	// of an image in the store, as in Image.
	Path      string        `json:"path"`
	Format    images.Format `json:"format,omitempty"`
	Ephemeral bool          `json:"ephemeral,omitempty"` // writes are thrown away
	// Size is how many bytes the disk is to have, if those are more than there are: of
	// an overlay alone. 0 leaves it as it is.
	Size int64 `json:"size,omitempty"`
	// Image is the image in the store that the disk begins with, Digest its content and
	// Base the file with that. Path is then an overlay that is kept when the VM ends, or
	// with Ephemeral the image itself. See Kept.
	Image  string       `json:"image,omitempty"`
	Digest store.Digest `json:"digest,omitempty"`
	Base   string       `json:"base,omitempty"`
}

// Kept tells whether the disk is an overlay of the VM's own, which outlasts it.
func (d *Disk) Kept() bool { return d.Image != "" && !d.Ephemeral }

// KeepsDisks tells whether the VM has a disk that outlasts it.
func (s *Spec) KeepsDisks() bool {
	return slices.ContainsFunc(s.Disks, func(d Disk) bool { return d.Kept() })
}

// ID is what tells this start from others. Records of a kvmrun that knew of no Run have
// the UUID for it.
func (s *Spec) ID() string {
	if s.Run == "" {
		return s.UUID
	}
	return s.Run
}

// Boot is a kernel that QEMU loads by itself, or a boot loader's firmware where
// it is not the machine's own.
type Boot struct {
	Kernel   string `json:"kernel,omitempty"`
	Initrd   string `json:"initrd,omitempty"`
	Append   string `json:"append,omitempty"`
	Firmware string `json:"firmware,omitempty"`
}

// DHCP says who tells the guest its address.
type DHCP string

// The ways to tell a guest its address.
const (
	DHCPBuiltin DHCP = "builtin" // the supervisor
	DHCPDnsmasq DHCP = "dnsmasq" // a real dnsmasq of its own
	DHCPOff     DHCP = "off"     // nobody
)

// Network is the VM's one routed address and the card that has it.
type Network struct {
	IP       netip.Addr        `json:"ip"`
	Subnet   netip.Prefix      `json:"subnet"`
	Gateway  netip.Addr        `json:"gateway"`
	MAC      netplumb.MAC      `json:"mac"`
	Uplink   string            `json:"uplink"` // "" for none
	ProxyARP netplumb.ProxyARP `json:"proxy_arp"`
	NoProbe  bool              `json:"no_probe,omitempty"` // take an address of the LAN without asking there
	Tap      string            `json:"tap"`
	Model    string            `json:"model"`
	Form     qemu.NetForm      `json:"net_form"`
	DHCP     DHCP              `json:"dhcp"`
	Names    NameServers       `json:"names,omitempty"`   // "" where DNS is the user's
	DNS      []netip.Addr      `json:"dns,omitempty"`     // the user's or, with NamesHost, the host's
	Resolver netip.Addr        `json:"resolver,omitzero"` // where the supervisor answers DNS; invalid for nowhere
	Search   []string          `json:"search,omitempty"`
	MTU      int               `json:"mtu"`                 // bytes
	NoRepair bool              `json:"no_repair,omitempty"` // what others change of it is left so
}
