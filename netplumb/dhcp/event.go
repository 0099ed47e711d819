package dhcp

import (
	"net/netip"

	"github.com/insomniacslk/dhcp/dhcpv4"
)

// Kind is what an Event is about: the message a guest was sent or, where it
// gets none, the one it sent.
type Kind string

// The kinds of Event. A guest is done with Acknowledged.
const (
	Offered      Kind = "offered"      // the guest was offered its address
	Acknowledged Kind = "acknowledged" // the guest has its address
	Refused      Kind = "refused"      // the guest asked for another address and was sent a NAK
	Informed     Kind = "informed"     // the guest has an address and was told the rest
	Booted       Kind = "booted"       // the guest speaks BOOTP and was told its address
	Declined     Kind = "declined"     // the guest found its address in use
	Released     Kind = "released"     // the guest gave its address back
)

// Event is one thing that a guest did.
type Event struct {
	Kind Kind
	// Requested is the address that the guest named; invalid if it named none.
	Requested netip.Addr
	// Err says why the reply could not be sent; nil if it was, or if there was
	// none to send. The guest will ask again.
	Err error
}

// newEvent describes an exchange; ok is false for one that is not worth it.
func newEvent(request, reply *dhcpv4.DHCPv4) (e Event, ok bool) {
	e.Requested = requested(request)
	switch {
	case reply != nil && request.MessageType() == dhcpv4.MessageTypeInform:
		e.Kind = Informed
	case reply != nil:
		e.Kind = kindOfReply[reply.MessageType()]
	case request.MessageType() == dhcpv4.MessageTypeDecline:
		e.Kind = Declined
	case request.MessageType() == dhcpv4.MessageTypeRelease:
		e.Kind = Released
	}
	return e, e.Kind != ""
}

var kindOfReply = map[dhcpv4.MessageType]Kind{
	dhcpv4.MessageTypeNone:  Booted,
	dhcpv4.MessageTypeOffer: Offered,
	dhcpv4.MessageTypeAck:   Acknowledged,
	dhcpv4.MessageTypeNak:   Refused,
}

func requested(request *dhcpv4.DHCPv4) netip.Addr {
	for _, candidate := range [][]byte{request.RequestedIPAddress().To4(), request.ClientIPAddr.To4()} {
		if addr, ok := netip.AddrFromSlice(candidate); ok && !addr.IsUnspecified() {
			return addr
		}
	}
	return netip.Addr{}
}
