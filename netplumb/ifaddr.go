package netplumb

import (
	"encoding/binary"
	"net/netip"

	"golang.org/x/sys/unix"
)

// ifaProto is IFA_PROTO of linux/if_addr.h.
const ifaProto = 11

// aliasMetric is IFA_RT_PRIORITY of kvmrun's alias: the mark of ownership that
// older kernels and iproute2 know, too, from 4.18 on. A /32 has no prefix route
// of which it could be the metric.
const aliasMetric = LinkGroup

// ifaddrmsg builds the fixed part of an address request for a /32.
func ifaddrmsg(index int, scope uint8) []byte {
	fixed := make([]byte, unix.SizeofIfAddrmsg)
	fixed[0], fixed[1], fixed[3] = unix.AF_INET, 32, scope
	binary.NativeEndian.PutUint32(fixed[4:], uint32(index))
	return fixed
}

// addTapAddress gives a tap an address. Link scope keeps the kernel from
// choosing it as the source of what leaves by other interfaces; without a
// prefix route there is nothing but the local route, of which the same address
// on another interface keeps its own.
func addTapAddress(index int, addr netip.Addr) *message {
	m := newMessage(unix.RTM_NEWADDR, unix.NLM_F_CREATE|unix.NLM_F_EXCL, ifaddrmsg(index, unix.RT_SCOPE_LINK))
	m.attr(unix.IFA_LOCAL, addr.AsSlice())
	m.attr(unix.IFA_ADDRESS, addr.AsSlice())
	m.attr32(unix.IFA_FLAGS, unix.IFA_F_NOPREFIXROUTE)
	return m
}

// addAlias gives the uplink a labelled address, tagged as ours.
func addAlias(index int, a Alias) *message {
	m := newMessage(unix.RTM_NEWADDR, unix.NLM_F_CREATE|unix.NLM_F_EXCL, ifaddrmsg(index, a.scope()))
	m.attr(unix.IFA_LOCAL, a.Address.AsSlice())
	m.attr(unix.IFA_ADDRESS, a.Address.AsSlice())
	m.attrString(unix.IFA_LABEL, a.Label)
	m.attr8(ifaProto, RouteProtocol)
	m.attr32(unix.IFA_RT_PRIORITY, aliasMetric)
	return m
}

func deleteAddress(index int, addr netip.Addr) *message {
	m := newMessage(unix.RTM_DELADDR, 0, ifaddrmsg(index, 0))
	m.attr(unix.IFA_LOCAL, addr.AsSlice())
	m.attr(unix.IFA_ADDRESS, addr.AsSlice())
	return m
}

// addresses lists the IPv4 addresses of one interface. The kernel does the
// filtering, so it does not take longer when there are many taps.
func (r *rtnl) addresses(index int) ([]InterfaceAddress, error) {
	fixed := make([]byte, unix.SizeofIfAddrmsg)
	fixed[0] = unix.AF_INET
	binary.NativeEndian.PutUint32(fixed[4:], uint32(index))
	var all []InterfaceAddress
	err := r.query(newMessage(unix.RTM_GETADDR, unix.NLM_F_DUMP, fixed), func(body []byte) {
		if a, ok := parseAddress(body); ok {
			all = append(all, a)
		}
	})
	return all, err
}

func parseAddress(body []byte) (a InterfaceAddress, ok bool) {
	if len(body) < unix.SizeofIfAddrmsg || body[0] != unix.AF_INET {
		return a, false
	}
	bits := int(body[1])
	a.Scope = body[3]
	var local, peer netip.Addr
	marked := false
	for typ, data := range attributes(body[unix.SizeofIfAddrmsg:]) {
		switch {
		case typ == unix.IFA_LOCAL && len(data) == 4:
			local, _ = netip.AddrFromSlice(data)
		case typ == unix.IFA_ADDRESS && len(data) == 4:
			peer, _ = netip.AddrFromSlice(data)
		case typ == unix.IFA_LABEL:
			a.Label = unix.ByteSliceToString(data)
		case typ == ifaProto && len(data) == 1:
			a.Protocol = data[0]
		case typ == unix.IFA_RT_PRIORITY && len(data) == 4:
			marked = binary.NativeEndian.Uint32(data) == aliasMetric
		}
	}
	if !local.IsValid() {
		local = peer
	}
	if peer.IsValid() && peer != local {
		bits = 32 // the network is the peer's: this address is alone
	}
	a.Prefix = netip.PrefixFrom(local, bits)
	if marked && a.Prefix.IsSingleIP() {
		a.Protocol = RouteProtocol
	}
	return a, a.Prefix.IsValid()
}
