package netplumb

import (
	"encoding/binary"
	"errors"
	"net/netip"

	"golang.org/x/sys/unix"
)

// route is one IPv4 route, as far as it matters here.
type route struct {
	dst      netip.Prefix
	table    uint32
	protocol uint8
	scope    uint8
	kind     uint8 // RTN_UNICAST, RTN_LOCAL, …
	oif      int   // interface of the (first) next hop
	metric   uint32
	via      netip.Addr
	source   netip.Addr
}

// rtmsg builds the fixed part of a route request.
func rtmsg(bits int, table, protocol, scope, kind uint8, flags uint32) []byte {
	fixed := make([]byte, unix.SizeofRtMsg)
	fixed[0], fixed[1] = unix.AF_INET, uint8(bits)
	fixed[4], fixed[5], fixed[6], fixed[7] = table, protocol, scope, kind
	binary.NativeEndian.PutUint32(fixed[8:], flags)
	return fixed
}

// addRoute adds a /32 by an interface. It fails with EEXIST if there is one.
func addRoute(index int, dst, source netip.Addr) *message {
	return hostRoute(unix.NLM_F_EXCL, index, dst, source)
}

// replaceRoute puts a /32 in the place of the one that there is.
func replaceRoute(index int, dst, source netip.Addr) *message {
	return hostRoute(unix.NLM_F_REPLACE, index, dst, source)
}

func hostRoute(flag uint16, index int, dst, source netip.Addr) *message {
	m := newMessage(unix.RTM_NEWROUTE, unix.NLM_F_CREATE|flag,
		rtmsg(32, unix.RT_TABLE_MAIN, RouteProtocol, unix.RT_SCOPE_LINK, unix.RTN_UNICAST, 0))
	m.attr(unix.RTA_DST, dst.AsSlice())
	m.attr32(unix.RTA_OIF, uint32(index))
	m.attr(unix.RTA_PREFSRC, source.AsSlice())
	return m
}

// routeTo asks the kernel which entry of its tables it would use for an
// address. Errors are the kernel's: ENETUNREACH without a route, others for
// routes that refuse.
func (r *rtnl) routeTo(addr netip.Addr) (route, error) {
	m := newMessage(unix.RTM_GETROUTE, 0, rtmsg(32, 0, 0, 0, 0, unix.RTM_F_FIB_MATCH))
	m.attr(unix.RTA_DST, addr.AsSlice())
	var found route
	err := r.query(m, func(body []byte) { found, _ = parseRoute(body) })
	return found, err
}

// routes dumps the IPv4 routes of one table, or of all for table 0.
func (r *rtnl) routes(table uint8, each func(route)) error {
	m := newMessage(unix.RTM_GETROUTE, unix.NLM_F_DUMP, rtmsg(0, table, 0, 0, 0, 0))
	err := r.query(m, func(body []byte) {
		if rt, ok := parseRoute(body); ok {
			each(rt)
		}
	})
	// The kernel makes a table with its first route.
	if errors.Is(err, unix.ENOENT) {
		return nil
	}
	return err
}

func parseRoute(body []byte) (rt route, ok bool) {
	if len(body) < unix.SizeofRtMsg || body[0] != unix.AF_INET {
		return rt, false
	}
	bits := int(body[1])
	rt = route{table: uint32(body[4]), protocol: body[5], scope: body[6], kind: body[7]}
	dst := netip.IPv4Unspecified()
	for typ, data := range attributes(body[unix.SizeofRtMsg:]) {
		switch {
		case typ == unix.RTA_MULTIPATH:
			rt.parseNextHop(data)
		case len(data) != 4:
		case typ == unix.RTA_DST:
			dst, _ = netip.AddrFromSlice(data)
		case typ == unix.RTA_PREFSRC:
			rt.source, _ = netip.AddrFromSlice(data)
		case typ == unix.RTA_GATEWAY:
			rt.via, _ = netip.AddrFromSlice(data)
		case typ == unix.RTA_OIF:
			rt.oif = int(binary.NativeEndian.Uint32(data))
		case typ == unix.RTA_PRIORITY:
			rt.metric = binary.NativeEndian.Uint32(data)
		case typ == unix.RTA_TABLE:
			rt.table = binary.NativeEndian.Uint32(data)
		}
	}
	rt.dst = netip.PrefixFrom(dst, bits)
	return rt, rt.dst.IsValid()
}

// parseNextHop takes the first of several next hops (struct rtnexthop).
func (rt *route) parseNextHop(b []byte) {
	if len(b) < unix.SizeofRtNexthop {
		return
	}
	rt.oif = int(binary.NativeEndian.Uint32(b[4:]))
	size := min(int(binary.NativeEndian.Uint16(b)), len(b))
	for typ, data := range attributes(b[unix.SizeofRtNexthop:max(size, unix.SizeofRtNexthop)]) {
		if typ == unix.RTA_GATEWAY && len(data) == 4 {
			rt.via, _ = netip.AddrFromSlice(data)
		}
	}
}
