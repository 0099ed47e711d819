package dhcp

import (
	"bytes"
	"net"
	"net/netip"

	"github.com/insomniacslk/dhcp/dhcpv4"
	"github.com/insomniacslk/dhcp/iana"
)

// Answer returns the reply that the guest of cfg gets to request. ok is false
// where silence is the answer: another client's message, one that came through
// a relay, one directed at another server, a DECLINE or RELEASE, nonsense.
//
// cfg must be valid. request is not changed. Answer has no side effects.
func Answer(cfg Config, request *dhcpv4.DHCPv4) (reply *dhcpv4.DHCPv4, ok bool) {
	if !fromGuest(cfg, request) {
		return nil, false
	}
	if !request.Options.Has(dhcpv4.OptionDHCPMessageType) {
		return answerBOOTP(cfg, request), true
	}
	switch request.MessageType() {
	case dhcpv4.MessageTypeDiscover:
		return answerDiscover(cfg, request), true
	case dhcpv4.MessageTypeRequest:
		return answerRequest(cfg, request)
	case dhcpv4.MessageTypeInform:
		return answerInform(cfg, request)
	default:
		return nil, false
	}
}

// fromGuest tells whether a message is the guest's own, said on its tap. There
// is no place for a relay between a guest and its tap, so one is not believed.
func fromGuest(cfg Config, m *dhcpv4.DHCPv4) bool {
	return m.OpCode == dhcpv4.OpcodeBootRequest &&
		m.HWType == iana.HWTypeEthernet &&
		bytes.Equal(m.ClientHWAddr, cfg.MAC) &&
		m.GatewayIPAddr.IsUnspecified()
}

func answerDiscover(cfg Config, request *dhcpv4.DHCPv4) *dhcpv4.DHCPv4 {
	if !request.Options.Has(dhcpv4.OptionRapidCommit) {
		return lease(cfg, request, dhcpv4.MessageTypeOffer)
	}
	// RFC 4039: two messages instead of four.
	return lease(cfg, request, dhcpv4.MessageTypeAck, dhcpv4.OptGeneric(dhcpv4.OptionRapidCommit, nil))
}

// answerRequest follows RFC 2131, section 4.3.2. The client's state shows in
// what it filled in; for a server with one lease all that matters is whom it
// talks to and which address it means.
func answerRequest(cfg Config, request *dhcpv4.DHCPv4) (*dhcpv4.DHCPv4, bool) {
	if id := request.ServerIdentifier(); id != nil && !sameIP(id, cfg.ServerID) {
		return nil, false // it took another server's offer
	}
	wanted := request.RequestedIPAddress()
	if wanted == nil || wanted.IsUnspecified() {
		wanted = request.ClientIPAddr
	}
	if wanted.IsUnspecified() {
		return nil, false // asks for nothing
	}
	if !sameIP(wanted, cfg.Address.Addr()) {
		return refuse(cfg, request), true
	}
	return lease(cfg, request, dhcpv4.MessageTypeAck), true
}

// answerInform tells a guest that configured its address by itself the rest
// (RFC 2131, section 4.3.5): no lease, and no word on the address. A guest with
// an address that is not its own would get parameters of a subnet it is not in.
func answerInform(cfg Config, request *dhcpv4.DHCPv4) (*dhcpv4.DHCPv4, bool) {
	if !request.ClientIPAddr.IsUnspecified() && !sameIP(request.ClientIPAddr, cfg.Address.Addr()) {
		return nil, false
	}
	reply := newReply(cfg, request, dhcpv4.MessageTypeAck)
	addParameters(cfg, request, reply)
	return reply, true
}

// answerBOOTP serves a client that speaks BOOTP alone (RFC 1534): an address,
// no message type, no lease.
func answerBOOTP(cfg Config, request *dhcpv4.DHCPv4) *dhcpv4.DHCPv4 {
	reply := newReply(cfg, request, dhcpv4.MessageTypeNone)
	reply.YourIPAddr = ip(cfg.Address.Addr())
	addParameters(cfg, request, reply)
	return reply
}

// lease builds an OFFER or ACK with the guest's address and the options that it
// must have. Parameters come last: they are what is left out where room is short.
func lease(cfg Config, request *dhcpv4.DHCPv4, kind dhcpv4.MessageType, must ...dhcpv4.Option) *dhcpv4.DHCPv4 {
	reply := newReply(cfg, request, kind)
	reply.YourIPAddr = ip(cfg.Address.Addr())
	if kind == dhcpv4.MessageTypeAck {
		reply.ClientIPAddr = request.ClientIPAddr
	}
	for _, option := range append(must, dhcpv4.OptIPAddressLeaseTime(cfg.lease())) {
		reply.UpdateOption(option)
	}
	addLeaseTimers(cfg, request, reply)
	addParameters(cfg, request, reply)
	return reply
}

// refuse builds a NAK: the client drops what it has and starts over.
func refuse(cfg Config, request *dhcpv4.DHCPv4) *dhcpv4.DHCPv4 {
	reply := newReply(cfg, request, dhcpv4.MessageTypeNak)
	reply.UpdateOption(dhcpv4.OptMessage("this interface has another address"))
	return reply
}

// newReply fills in what every reply has (RFC 2131, table 3). Option 82 is not
// copied: nobody relays on a tap.
func newReply(cfg Config, request *dhcpv4.DHCPv4, kind dhcpv4.MessageType) *dhcpv4.DHCPv4 {
	reply := &dhcpv4.DHCPv4{
		OpCode:        dhcpv4.OpcodeBootReply,
		HWType:        request.HWType,
		TransactionID: request.TransactionID,
		Flags:         request.Flags,
		ClientIPAddr:  net.IPv4zero,
		YourIPAddr:    net.IPv4zero,
		ServerIPAddr:  net.IPv4zero,
		GatewayIPAddr: net.IPv4zero,
		ClientHWAddr:  request.ClientHWAddr,
		Options:       dhcpv4.Options{},
	}
	if kind == dhcpv4.MessageTypeNone {
		return reply
	}
	reply.UpdateOption(dhcpv4.OptMessageType(kind))
	reply.UpdateOption(dhcpv4.OptServerIdentifier(ip(cfg.ServerID)))
	// RFC 6842. One that is longer than a single option is nothing but bait.
	if id := request.GetOneOption(dhcpv4.OptionClientIdentifier); len(id) > 0 && len(id) <= 255 {
		reply.UpdateOption(dhcpv4.OptClientIdentifier(id))
	}
	return reply
}

// unicast tells whether a reply goes to the guest's own address and MAC or to
// everybody (RFC 2131, section 4.1). A NAK always does the latter: the client
// has no address to be reached at.
func unicast(request, reply *dhcpv4.DHCPv4) bool {
	switch {
	case reply.MessageType() == dhcpv4.MessageTypeNak:
		return false
	case !request.ClientIPAddr.IsUnspecified():
		return true
	default:
		return !request.IsBroadcast() && !reply.YourIPAddr.IsUnspecified()
	}
}

func sameIP(a net.IP, b netip.Addr) bool { return a.Equal(b.AsSlice()) }

func ip(addr netip.Addr) net.IP { return addr.AsSlice() }
