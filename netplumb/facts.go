package netplumb

import (
	"net/netip"
)

// Facts is what a plan needs to know of the host. It is read by Host.Facts.
type Facts struct {
	// Uplink describes the uplink; the zero value if there is none.
	Uplink Uplink
	// Gateway says where on this host the gateway's address is.
	Gateway GatewayFacts
}

// Uplink is an interface to a LAN.
type Uplink struct {
	Name  string
	Index int
	// MTU in bytes.
	MTU int
	// Addresses are the IPv4 addresses, in the kernel's order.
	Addresses []InterfaceAddress
}

// InterfaceAddress is one IPv4 address of an interface.
type InterfaceAddress struct {
	// Prefix is the address itself with the length of its network.
	Prefix netip.Prefix
	// Label is the interface's name, or name:text (an alias in the old sense).
	Label string
	// Scope is the kernel's: 0 global, 253 link, 254 host.
	Scope uint8
	// Protocol is IFA_PROTO (0 on kernels before 5.18), or RouteProtocol for
	// what is marked as kvmrun's in another way.
	Protocol uint8
}

// GatewayFacts says where on this host an address is.
type GatewayFacts struct {
	// Interface has the address; "" if the host does not have it.
	Interface string
	// Ours says that kvmrun put it there: on a tap, or as a journalled alias
	// of the uplink.
	Ours bool
	// Label is that of the alias on the uplink, if there is one.
	Label string
}

// LAN is a network that the host is connected to by its uplink.
type LAN struct {
	// Prefix is the network, without host bits.
	Prefix netip.Prefix
	// Host is the host's own address in it.
	Host netip.Addr
}

// LAN returns the uplink's network that an address lies in, the narrowest if
// there are several. If there is one, the guest becomes a neighbour on that
// network; otherwise it lives in a subnet of its own behind the host.
func (f Facts) LAN(addr netip.Addr) (LAN, bool) {
	var best LAN
	for _, a := range f.Uplink.Addresses {
		if a.Protocol == RouteProtocol || a.Prefix.IsSingleIP() || !a.Prefix.Contains(addr) {
			continue
		}
		if !best.Prefix.IsValid() || a.Prefix.Bits() > best.Prefix.Bits() {
			best = LAN{Prefix: a.Prefix.Masked(), Host: a.Prefix.Addr()}
		}
	}
	return best, best.Prefix.IsValid()
}
