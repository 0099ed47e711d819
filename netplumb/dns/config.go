// Package dns answers DNS for one guest on one tap.
//
// It knows the names of other guests by its [Names], and forwards everything else to
// the servers that this host itself asks. It keeps nothing between two questions, so
// it may be stopped and started again at any moment.
//
// Port 53 of this host may be somebody else's, on every address (a resolver for the
// LAN, say), and neither must notice the other. So the server binds no port 53. It
// hears the guest's datagrams on a packet socket of the tap and a small program on
// the tap keeps them from the host's own sockets; the same program leads connections
// to a socket of the server's that has another port (steer.go).
//
// judge holds what is answered from here, and is pure. The protocol is RFC 1035's,
// with RFC 6891 (EDNS0) and RFC 7766 (TCP).
package dns

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"strings"
)

// Domain is what the guests' names can be looked up in, beside their bare form.
// ICANN has reserved internal. for private use, so no name of the world's is hidden.
const Domain = "kvmrun.internal"

// Names are the guests' names. Its methods are called from several goroutines.
type Names interface {
	// Address is the address of the guest of that name, which is in lower case.
	Address(name string) (netip.Addr, bool)
	// Name is the name, one label, of the guest with that address.
	Name(addr netip.Addr) (string, bool)
}

// Config is one guest's. All of it is required.
type Config struct {
	// Interface is the name of the tap that the guest is behind.
	Interface string
	// MAC and Guest are the guest's. Nobody else is answered.
	MAC   net.HardwareAddr
	Guest netip.Addr
	// Address is the one that the guest asks, IPv4 and this host's as a rule.
	Address netip.Addr
	// MTU of the tap in bytes, which no answer by UDP exceeds.
	MTU   int
	Names Names
	// Upstreams returns the servers that know the rest, in order of preference.
	// It is asked each time.
	Upstreams func() []netip.AddrPort
}

// ErrConfig is wrapped by every complaint about a Config.
var ErrConfig = errors.New("unusable DNS configuration")

// Validate reports the first thing in c that cannot be served.
func (c Config) Validate() error {
	fault := func(what string) error {
		return fmt.Errorf("DNS on %q: %w: %s", c.Interface, ErrConfig, what)
	}
	switch {
	case c.Interface == "":
		return fault("no interface")
	case len(c.MAC) != 6:
		return fault("the guest's MAC is not six bytes long")
	case !c.Guest.Is4() || !c.Address.Is4():
		return fault("an address is not IPv4")
	case c.MTU < headers+smallestAnswer:
		return fault(fmt.Sprintf("MTU %d has no room for an answer", c.MTU))
	case c.Names == nil || c.Upstreams == nil:
		return fault("nobody to ask")
	}
	return nil
}

// inDomain splits a name in lower case, without its last dot, that is Domain or
// below it.
func inDomain(name string) (rest string, ok bool) {
	if name == Domain {
		return "", true
	}
	return strings.CutSuffix(name, "."+Domain)
}
