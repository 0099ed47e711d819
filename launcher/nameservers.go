package launcher

import (
	"net/netip"
	"os"

	"kvmrun/netplumb/dns"
	"kvmrun/netplumb/resolver"
)

// NameServers says whom a guest is told to ask for names, unless it is told addresses
// of the user's.
type NameServers string

// The choices of name servers.
const (
	// NamesGateway is the VM's supervisor, at the tap's own address: it knows the
	// guests' names, and asks the host's servers for the rest.
	NamesGateway NameServers = "gateway"
	NamesHost    NameServers = "host" // the host's servers themselves
	NamesOff     NameServers = "off"  // none
)

// chooseNameServers fills in whom the guest is told to ask, and in which domains.
func (d *draft) chooseNameServers() {
	n := &d.spec.Network
	n.Resolver = netip.Addr{}
	if len(n.DNS) > 0 || n.Names == NamesOff {
		return
	}
	if n.Names == "" {
		n.Names = d.usualNameServers()
	}
	servers, err := resolver.Read("/")
	n.Search = servers.Search
	if n.Names == NamesGateway {
		n.Resolver, n.Search = d.tapAddress(), append(n.Search, dns.Domain)
		if list, err := resolver.OfHost("/"); err != nil || len(list) == 0 {
			d.note("this host has no name server: guests find one another's names and no others (name one by --dns)")
		}
		return
	}
	if n.DNS = servers.Servers; err != nil || len(n.DNS) == 0 {
		d.note("this host knows no name server that a guest could reach; name one by --dns")
	}
}

// usualNameServers are those of a user who has asked for none: the gateway, if this host
// lets the supervisor be one. Who is not root can only plan, and cannot tell.
func (d *draft) usualNameServers() NameServers {
	if os.Geteuid() != 0 {
		return NamesGateway
	}
	if err := dns.Supported(); err != nil {
		d.note("guests do not find one another by name, and are told this host's name servers: %v", err)
		return NamesHost
	}
	return NamesGateway
}

// tapAddress is what netplumb.NewPlan puts on the tap.
func (d *draft) tapAddress() netip.Addr {
	n := d.spec.Network
	if lan, ok := d.facts.LAN(n.Subnet.Addr()); ok && lan.Prefix == n.Subnet {
		return lan.Host
	}
	return n.Gateway
}

// nameServers are those that the guest of a completed Spec is told.
func (n Network) nameServers() []netip.Addr {
	if n.Resolver.IsValid() {
		return []netip.Addr{n.Resolver}
	}
	return n.DNS
}

// byHand is a Spec for a script, in which no supervisor answers: the guest is told the
// host's own servers.
func (s Spec) byHand() Spec {
	if n := &s.Network; n.Resolver.IsValid() {
		n.Resolver = netip.Addr{}
		if found, err := resolver.Read("/"); err == nil {
			n.DNS, n.Search = found.Servers, found.Search
		}
	}
	return s
}
