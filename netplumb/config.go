package netplumb

import (
	"fmt"
	"net/netip"
	"strings"
	"unicode"

	"golang.org/x/sys/unix"
)

// ProxyARP says how the host answers ARP for the guest on the uplink.
type ProxyARP string

const (
	// ProxyExact adds a permanent proxy entry for the guest's address alone.
	ProxyExact ProxyARP = "exact"
	// ProxyInterface sets the uplink's proxy_arp, with which the host answers
	// for every address that it would route out of another interface.
	ProxyInterface ProxyARP = "interface"
	// ProxyOff leaves ARP alone, on the uplink and on the tap.
	ProxyOff ProxyARP = "off"
)

// Limits of the kernel's: IFNAMSIZ and IFALIASZ with their final zero, the
// smallest MTU of IPv4, the largest of a tap (64 KiB less the Ethernet header)
// and MAX_TAP_QUEUES.
const (
	maxName   = unix.IFNAMSIZ - 1
	maxAlias  = 255
	minMTU    = 68
	maxMTU    = 65521
	maxQueues = 256
)

// Config says what is wanted for one guest address. Everything is resolved:
// no field has a default but Uplink and Alias, which may be empty.
type Config struct {
	// Address is the guest's IPv4 address.
	Address netip.Addr `json:"address"`
	// Subnet is the network whose mask the guest is told.
	Subnet netip.Prefix `json:"subnet"`
	// Gateway is the router that the guest is told.
	Gateway netip.Addr `json:"gateway"`
	// MAC is the guest's.
	MAC MAC `json:"mac"`
	// Tap names the tap: at most 15 bytes.
	Tap string `json:"tap"`
	// Alias becomes the tap's IFLA_ALIAS and says whose it is. Together with
	// the name and the link group it is what Undo knows a tap by.
	Alias string `json:"alias"`
	// Uplink names the interface to the LAN; "" for none.
	Uplink string `json:"uplink"`
	// ProxyARP says how the guest becomes a neighbour on the uplink.
	ProxyARP ProxyARP `json:"proxy_arp"`
	// MTU of the tap in bytes, the Ethernet header not counted.
	MTU int `json:"mtu"`
	// Queues is the number of the tap's queues, and of descriptors Apply
	// returns. More than one makes the tap a multi_queue one.
	Queues int `json:"queues"`
	// VnetHdr puts a virtio-net header before each frame (IFF_VNET_HDR).
	VnetHdr bool `json:"vnet_hdr"`
	// TapUID and TapGID own the persistent tap of the script form. Apply does
	// not need them: it hands out descriptors.
	TapUID int `json:"tap_uid"`
	TapGID int `json:"tap_gid"`
}

// validate checks the configuration by itself, without the host.
func (c Config) validate() error {
	if err := CheckAddress(c.Address, c.Subnet, c.Gateway); err != nil {
		return err
	}
	if !c.MAC.valid() {
		return fmt.Errorf("%w: MAC %s is a group address or zero", ErrAddressInvalid, c.MAC)
	}
	if err := checkName("tap", c.Tap); err != nil {
		return err
	}
	if c.Uplink != "" {
		if err := checkName("uplink", c.Uplink); err != nil {
			return err
		}
	}
	switch {
	case c.Tap == c.Uplink:
		return fmt.Errorf("%w: tap and uplink are both called %s", ErrConfig, c.Tap)
	case len(c.Alias) > maxAlias || strings.ContainsFunc(c.Alias, func(r rune) bool { return !unicode.IsPrint(r) }):
		return fmt.Errorf("%w: alias %.40q is over %d bytes or has characters that cannot be printed", ErrConfig, c.Alias, maxAlias)
	case c.MTU < minMTU || c.MTU > maxMTU:
		return fmt.Errorf("%w: MTU %d of %s is not in %d…%d", ErrConfig, c.MTU, c.Tap, minMTU, maxMTU)
	case c.Queues < 1 || c.Queues > maxQueues:
		return fmt.Errorf("%w: %d queues for %s, not 1…%d", ErrConfig, c.Queues, c.Tap, maxQueues)
	case c.TapUID < 0 || c.TapGID < 0:
		return fmt.Errorf("%w: owner %d:%d of %s is negative", ErrConfig, c.TapUID, c.TapGID, c.Tap)
	}
	switch c.ProxyARP {
	case ProxyExact, ProxyInterface, ProxyOff:
		return nil
	}
	return fmt.Errorf("%w: proxy ARP %q; choose %s, %s or %s", ErrConfig, c.ProxyARP, ProxyExact, ProxyInterface, ProxyOff)
}

// tapProxyARP is proxy_arp of the tap.
func (c Config) tapProxyARP() uint32 {
	if c.ProxyARP == ProxyOff {
		return 0
	}
	return 1
}

// checkName wants an interface name in the sense of the kernel's dev_valid_name
// (net/core/dev.c) that is also safe in a script, a path and on a terminal.
func checkName(what, name string) error {
	if name == "" || len(name) > maxName || name == "." || name == ".." || name[0] == '-' || strings.ContainsFunc(name, notInName) {
		return fmt.Errorf("%w: %s name %.40q is no interface name of 1 to %d letters, digits and -_.+=@", ErrConfig, what, name, maxName)
	}
	return nil
}

// checkLabel wants the label of an address: an interface's name, or one with a
// colon and more behind it.
func checkLabel(label string) error {
	name, rest, _ := strings.Cut(label, ":")
	if len(label) > maxName || strings.ContainsFunc(rest, notInName) {
		return fmt.Errorf("%w: label %.40q is no interface name with a number", ErrConfig, label)
	}
	return checkName("label", name)
}

func notInName(r rune) bool { return !alphanumeric(r) && !strings.ContainsRune("-_.+=@", r) }

func alphanumeric(r rune) bool {
	return r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9'
}
