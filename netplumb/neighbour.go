package netplumb

import (
	"encoding/binary"
	"net/netip"

	"golang.org/x/sys/unix"
)

// NDA_PROTOCOL of linux/neighbour.h, and the attributes of a neighbour table's
// settings for one interface.
const (
	ndaProtocol      = 12
	ndtaName         = 1
	ndtaParms        = 6
	ndtpaIfindex     = 1
	ndtpaProxyDelay  = 13
	arpTable         = "arp_cache"
	sizeofNdmsg      = 12
	sizeofNdtmsg     = 4
	neighStateOffset = 8
)

// neighbour is one entry of the ARP table: a neighbour or a proxy entry.
type neighbour struct {
	state    uint16
	protocol uint8
	mac      MAC
}

// ndmsg builds the fixed part of a neighbour request.
func ndmsg(index int, state uint16, flags uint8) []byte {
	fixed := make([]byte, sizeofNdmsg)
	fixed[0] = unix.AF_INET
	binary.NativeEndian.PutUint32(fixed[4:], uint32(index))
	binary.NativeEndian.PutUint16(fixed[neighStateOffset:], state)
	fixed[10] = flags
	return fixed
}

// addNeighbour pins an address to a MAC.
func addNeighbour(index int, addr netip.Addr, mac MAC) *message {
	m := newMessage(unix.RTM_NEWNEIGH, unix.NLM_F_CREATE|unix.NLM_F_REPLACE, ndmsg(index, unix.NUD_PERMANENT, 0))
	m.attr(unix.NDA_DST, addr.AsSlice())
	m.attr(unix.NDA_LLADDR, mac[:])
	return m
}

// addProxy makes the host answer ARP for an address on an interface. Being
// permanent, the entry survives a loss of carrier. Note that the kernel takes
// NLM_F_EXCL for nothing here: it overwrites an entry that exists.
func addProxy(index int, addr netip.Addr) *message {
	m := newMessage(unix.RTM_NEWNEIGH, unix.NLM_F_CREATE|unix.NLM_F_EXCL, ndmsg(index, unix.NUD_PERMANENT, unix.NTF_PROXY))
	m.attr(unix.NDA_DST, addr.AsSlice())
	m.attr8(ndaProtocol, RouteProtocol)
	return m
}

func deleteProxy(index int, addr netip.Addr) *message {
	m := newMessage(unix.RTM_DELNEIGH, 0, ndmsg(index, 0, unix.NTF_PROXY))
	m.attr(unix.NDA_DST, addr.AsSlice())
	return m
}

// neighbour looks up one entry; flags is 0 or unix.NTF_PROXY. The error is
// ENOENT if there is none. One look-up rather than a dump: the table may have
// thousands.
func (r *rtnl) neighbour(index int, addr netip.Addr, flags uint8) (neighbour, error) {
	m := newMessage(unix.RTM_GETNEIGH, 0, ndmsg(index, 0, flags))
	m.attr(unix.NDA_DST, addr.AsSlice())
	var n neighbour
	err := r.query(m, func(body []byte) { n = parseNeighbour(body) })
	return n, err
}

func parseNeighbour(body []byte) (n neighbour) {
	if len(body) < sizeofNdmsg {
		return n
	}
	n.state = binary.NativeEndian.Uint16(body[neighStateOffset:])
	for typ, data := range attributes(body[sizeofNdmsg:]) {
		switch {
		case typ == ndaProtocol && len(data) == 1:
			n.protocol = data[0]
		case typ == unix.NDA_LLADDR:
			copy(n.mac[:], data)
		}
	}
	return n
}

// setProxyDelay sets neigh/IF/proxy_delay to zero: by default the kernel waits
// up to 0.8 s before it answers for another.
func setProxyDelay(index int) *message {
	fixed := make([]byte, sizeofNdtmsg)
	fixed[0] = unix.AF_INET
	m := newMessage(unix.RTM_SETNEIGHTBL, 0, fixed)
	m.attrString(ndtaName, arpTable)
	m.nest(ndtaParms, func() {
		m.attr32(ndtpaIfindex, uint32(index))
		m.attr64(ndtpaProxyDelay, 0)
	})
	return m
}
