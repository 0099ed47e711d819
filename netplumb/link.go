package netplumb

import (
	"encoding/binary"
	"fmt"

	"golang.org/x/sys/unix"
)

// link is what the kernel tells of an interface, as far as it matters here.
type link struct {
	name  string
	index int
	up    bool
	loop  bool // the loopback interface
	// carrier says that the interface can send now, cameUp how often it has
	// become so.
	carrier bool
	cameUp  uint32
	mac     MAC
	mtu     int
	group   uint32
	alias   string
	// Per-interface settings of IPv4.
	forwarding, proxyARP, rpFilter bool
}

// ours reports whether the interface is the tap that the configuration
// describes.
func (l link) ours(c Config) bool {
	return l.name == c.Tap && l.group == LinkGroup && l.alias == c.Alias
}

// Per-interface IPv4 settings: IPV4_DEVCONF_* of linux/ip.h.
const (
	devconfForwarding = 1
	devconfProxyARP   = 3
	devconfRPFilter   = 8
)

// filterSkipStats is RTEXT_FILTER_SKIP_STATS of linux/rtnetlink.h.
const filterSkipStats = 8

// linkByName looks up one interface. The error is ENODEV if there is none.
func (r *rtnl) linkByName(name string) (link, error) {
	m := newMessage(unix.RTM_GETLINK, 0, ifinfomsg(0))
	m.attrString(unix.IFLA_IFNAME, name)
	m.attr32(unix.IFLA_EXT_MASK, filterSkipStats)
	var l link
	err := r.query(m, func(body []byte) { l = parseLink(body) })
	return l, err
}

// interfaceName returns an interface's name. It asks by ioctl, which costs a
// tenth of linkByIndex and does not wait for the RTNL lock.
func (r *rtnl) interfaceName(index int) (string, error) {
	ifr, err := unix.NewIfreq("")
	if err == nil {
		ifr.SetUint32(uint32(index))
		err = unix.IoctlIfreq(r.fd, unix.SIOCGIFNAME, ifr)
	}
	if err != nil {
		return "", fmt.Errorf("look up interface %d: %w", index, err)
	}
	return ifr.Name(), nil
}

// linkByIndex looks up one interface by its number.
func (r *rtnl) linkByIndex(index int) (link, error) {
	m := newMessage(unix.RTM_GETLINK, 0, ifinfomsg(index))
	m.attr32(unix.IFLA_EXT_MASK, filterSkipStats)
	var l link
	err := r.query(m, func(body []byte) { l = parseLink(body) })
	return l, err
}

// links lists all interfaces.
func (r *rtnl) links(each func(link)) error {
	m := newMessage(unix.RTM_GETLINK, unix.NLM_F_DUMP, ifinfomsg(0))
	m.attr32(unix.IFLA_EXT_MASK, filterSkipStats)
	return r.query(m, func(body []byte) { each(parseLink(body)) })
}

// ifinfomsg is the fixed part of a request about an interface, or about none in
// particular (0).
func ifinfomsg(index int) []byte {
	fixed := make([]byte, unix.SizeofIfInfomsg)
	binary.NativeEndian.PutUint32(fixed[4:], uint32(index))
	return fixed
}

func parseLink(body []byte) (l link) {
	if len(body) < unix.SizeofIfInfomsg {
		return l
	}
	l.index = int(binary.NativeEndian.Uint32(body[4:]))
	l.loop = binary.NativeEndian.Uint32(body[8:])&unix.IFF_LOOPBACK != 0
	l.up = binary.NativeEndian.Uint32(body[8:])&unix.IFF_UP != 0
	l.carrier = binary.NativeEndian.Uint32(body[8:])&unix.IFF_LOWER_UP != 0
	for typ, data := range attributes(body[unix.SizeofIfInfomsg:]) {
		switch {
		case typ == unix.IFLA_IFNAME:
			l.name = unix.ByteSliceToString(data)
		case typ == unix.IFLA_MTU && len(data) == 4:
			l.mtu = int(binary.NativeEndian.Uint32(data))
		case typ == unix.IFLA_ADDRESS && len(data) == len(l.mac):
			l.mac = MAC(data)
		case typ == unix.IFLA_CARRIER_UP_COUNT && len(data) == 4:
			l.cameUp = binary.NativeEndian.Uint32(data)
		case typ == unix.IFLA_GROUP && len(data) == 4:
			l.group = binary.NativeEndian.Uint32(data)
		case typ == unix.IFLA_IFALIAS:
			l.alias = unix.ByteSliceToString(data)
		case typ == unix.IFLA_AF_SPEC:
			l.parseIPv4(data)
		}
	}
	return l
}

// parseIPv4 reads IFLA_AF_SPEC / AF_INET / IFLA_INET_CONF, an array of all
// settings that begins with number 1.
func (l *link) parseIPv4(spec []byte) {
	for family, data := range attributes(spec) {
		if family != unix.AF_INET {
			continue
		}
		for typ, conf := range attributes(data) {
			if typ != unix.IFLA_INET_CONF || len(conf) < 4*devconfRPFilter {
				continue
			}
			set := func(i int) bool { return binary.NativeEndian.Uint32(conf[4*(i-1):]) == 1 }
			l.forwarding, l.proxyARP, l.rpFilter = set(devconfForwarding), set(devconfProxyARP), set(devconfRPFilter)
		}
	}
}

// setTap marks a fresh tap as ours, sets it up for routing and raises it, all
// in one message. The kernel applies it as a whole but for errors half way.
func setTap(index int, c Config) *message {
	fixed := ifinfomsg(index)
	binary.NativeEndian.PutUint32(fixed[8:], unix.IFF_UP)
	binary.NativeEndian.PutUint32(fixed[12:], unix.IFF_UP)
	m := newMessage(unix.RTM_SETLINK, 0, fixed)
	m.attr32(unix.IFLA_MTU, uint32(c.MTU))
	m.attr32(unix.IFLA_GROUP, LinkGroup)
	m.attr(unix.IFLA_IFALIAS, []byte(c.Alias))
	m.nest(unix.IFLA_AF_SPEC, func() {
		m.nest(unix.AF_INET, func() {
			m.nest(unix.IFLA_INET_CONF, func() {
				m.attr32(devconfForwarding, 1)
				// Strict: together with the /32 it stops a guest from
				// sending with another's address.
				m.attr32(devconfRPFilter, 1)
				m.attr32(devconfProxyARP, c.tapProxyARP())
			})
		})
	})
	return m
}

// deleteLink removes an interface, with its addresses, routes and neighbours.
func deleteLink(index int) *message {
	return newMessage(unix.RTM_DELLINK, 0, ifinfomsg(index))
}
