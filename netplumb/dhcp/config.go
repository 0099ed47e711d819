// Package dhcp answers DHCP for one guest on one tap.
//
// The server works on an AF_PACKET socket, so it needs no UDP port 67, no
// address on the interface, no lease file and no configuration file. It knows
// a single lease, the one in its Config, and therefore has no state: it may be
// stopped and started again at any moment, and two of them on one interface
// would say the same.
//
// Answer holds the protocol (RFC 2131, RFC 2132, RFC 4039, RFC 6842) and is
// pure. Server carries it to the wire. DnsmasqArgs describes the same service
// to a real dnsmasq.
package dhcp

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"strings"
	"time"
)

// Infinite is the lease that never ends, 0xffffffff seconds on the wire
// (RFC 2131, section 3.3).
const Infinite = time.Duration(0xffffffff) * time.Second

// ErrConfig is wrapped by every complaint about a Config.
var ErrConfig = errors.New("unusable DHCP configuration")

// Config is all that one guest is told. Interface, MAC, Address and ServerID
// are required.
type Config struct {
	// Interface is the name of the tap that the guest is behind.
	Interface string
	// MAC is the guest's. Frames from any other are not answered.
	MAC net.HardwareAddr
	// Address is the guest's address with the mask it is told. With /32 the
	// guest is also told classless routes to its router (option 121), if it
	// asks for them.
	Address netip.Prefix
	// Router is the guest's default gateway; the zero value offers none.
	Router netip.Addr
	// DNS lists the name servers in order of preference.
	DNS []netip.Addr
	// HostName is one label, the name that the guest is given; may be empty.
	HostName string
	// Search lists the domains in which the guest looks names up, its own first;
	// may be empty.
	Search []string
	// MTU in bytes; 0 says nothing to the guest.
	MTU int
	// ServerID is the address the server goes by, usually the gateway's on the
	// tap. Nothing need be bound to it.
	ServerID netip.Addr
	// Lease is how long the guest may keep its address; 0 means Infinite.
	//
	// Infinite suits an address that belongs to the guest for as long as it
	// runs: the guest never loses it while nobody serves the tap, and never
	// renews it. A renewal is unicast to ServerID, and where that is also the
	// address of a real router on the LAN, the host forwards a copy there, to
	// a DHCP server that knows nothing of this lease and may deny it.
	Lease time.Duration
}

// Validate reports the first thing in c that cannot be served. The error wraps
// ErrConfig.
func (c Config) Validate() error {
	switch {
	case !validInterface(c.Interface):
		return c.fault("interface name %q is not one that Linux and dnsmasq both take", c.Interface)
	case len(c.MAC) != 6:
		return c.fault("MAC %q is not six bytes long", c.MAC.String())
	case c.MAC[0]&1 != 0:
		return c.fault("MAC %s is a group address, no guest can send from it", c.MAC)
	case !c.Address.IsValid() || !c.Address.Addr().Is4():
		return c.fault("guest address %s is not IPv4", c.Address)
	case c.Router.IsValid() && !c.Router.Is4():
		return c.fault("router %s is not IPv4", c.Router)
	case !c.ServerID.Is4():
		return c.fault("server identifier %s is not IPv4", c.ServerID)
	case c.MTU != 0 && (c.MTU < 68 || c.MTU > 65535):
		return c.fault("MTU %d is outside 68 to 65535 (RFC 2132, section 5.1)", c.MTU)
	case c.Lease < 0 || c.Lease > Infinite || c.Lease > 0 && c.Lease < time.Second:
		return c.fault("lease %s is outside 1s to dhcp.Infinite", c.Lease)
	case c.HostName != "" && !validLabel(c.HostName):
		return c.fault("host name %q is not one DNS label", c.HostName)
	}
	for _, domain := range c.Search {
		if !validDomain(domain) {
			return c.fault("domain %q is not a DNS name", domain)
		}
	}
	for _, server := range c.DNS {
		if !server.Is4() {
			return c.fault("DNS server %s is not IPv4", server)
		}
	}
	return nil
}

func (c Config) fault(format string, args ...any) error {
	return fmt.Errorf("DHCP on %q: %w: %s", c.Interface, ErrConfig, fmt.Sprintf(format, args...))
}

// lease is the lease time with its default.
func (c Config) lease() time.Duration {
	if c.Lease == 0 {
		return Infinite
	}
	return c.Lease
}

// broadcast is the subnet's broadcast address; ok is false for /31 and /32,
// which have none (RFC 3021).
func (c Config) broadcast() (addr netip.Addr, ok bool) {
	if c.Address.Bits() > 30 {
		return netip.Addr{}, false
	}
	bytes := c.Address.Addr().As4()
	for i, ones := range net.CIDRMask(c.Address.Bits(), 32) {
		bytes[i] |= ^ones
	}
	return netip.AddrFrom4(bytes), true
}

// validInterface is stricter than the kernel (dev_valid_name in net/core/dev.c):
// to dnsmasq a comma separates names and a star is a wildcard.
func validInterface(name string) bool {
	return name != "" && len(name) < 16 && name != "." && name != ".." &&
		!strings.ContainsFunc(name, func(r rune) bool {
			return r <= ' ' || r >= 0x7f || strings.ContainsRune("/:,*", r)
		})
}

func validDomain(name string) bool {
	if len(name) > 253 {
		return false
	}
	for label := range strings.SplitSeq(name, ".") {
		if !validLabel(label) {
			return false
		}
	}
	return true
}

// validLabel allows the underscore beside RFC 1123's characters; real zones
// have it.
func validLabel(label string) bool {
	if label == "" || len(label) > 63 || label[0] == '-' || label[len(label)-1] == '-' {
		return false
	}
	return !strings.ContainsFunc(label, func(r rune) bool {
		return (r < 'a' || r > 'z') && (r < 'A' || r > 'Z') && (r < '0' || r > '9') && r != '-' && r != '_'
	})
}
