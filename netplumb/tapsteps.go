package netplumb

import (
	"errors"
	"fmt"
	"net/netip"

	"golang.org/x/sys/unix"
)

// onTap is what all steps on the tap but the first share: nothing to undo.
type onTap struct{}

func (onTap) undo(*Host) error { return nil }
func (onTap) needsTap()        {}

// tapStep makes the tap.
type tapStep struct{ Config }

func (s tapStep) String() string { return "tap " + s.Tap }

// apply has nothing left to do: Apply has opened the tap, and no other process
// could make it again.
func (s tapStep) apply(*Host, int) error { return nil }

// undo deletes a tap that outlived its user, but no other of the same name.
func (s tapStep) undo(h *Host) error {
	l, err := h.rtnl.linkByName(s.Tap)
	if err != nil || !l.ours(s.Config) {
		return err
	}
	return h.rtnl.change(deleteLink(l.index))
}

func (s tapStep) check(h *Host) (want, have string, err error) {
	show := func(group uint32, alias string) string { return fmt.Sprintf("group %d alias %q", group, alias) }
	l, err := h.rtnl.linkByName(s.Tap)
	return show(LinkGroup, s.Alias), show(l.group, l.alias), err
}

func (s tapStep) shell() Commands {
	add := fmt.Sprintf("ip tuntap add dev %s mode tap user %d group %d", s.Tap, s.TapUID, s.TapGID)
	if s.Queues > 1 {
		add += " multi_queue"
	}
	if s.VnetHdr {
		add += " vnet_hdr"
	}
	return Commands{
		Do:   []string{add, fmt.Sprintf("ip link set dev %s group %d alias %s", s.Tap, LinkGroup, quote(s.Alias))},
		Undo: []string{"ip link delete dev " + s.Tap},
	}
}

// tapLinkStep marks the tap as ours, sets it up for routing and raises it.
type tapLinkStep struct {
	onTap
	Config
}

func (s tapLinkStep) String() string { return "settings of " + s.Tap }

// apply switches IPv6 off first: with forwarding on one interface a guest's
// router advertisement could otherwise become the host's default route, and the
// host would send the guest its solicitations. The rest is one request.
func (s tapLinkStep) apply(h *Host, tap int) error {
	if err := (sysctl{disableIPv6, s.Tap, "1"}).write("1"); err != nil && !gone(err) {
		return err
	}
	return h.rtnl.change(setTap(tap, s.Config), setProxyDelay(tap))
}

func (s tapLinkStep) check(h *Host) (want, have string, err error) {
	show := func(up bool, mtu int, forwarding, proxy, rpFilter bool, delay, ipv6 string) string {
		return fmt.Sprintf("up %t, mtu %d, forwarding %t, proxy_arp %t, strict rp_filter %t, proxy_delay %s, disable_ipv6 %s",
			up, mtu, forwarding, proxy, rpFilter, delay, ipv6)
	}
	want = show(true, s.MTU, true, s.ProxyARP != ProxyOff, true, "0", "1")
	l, err := h.rtnl.linkByName(s.Tap)
	if err != nil {
		return want, "", err
	}
	delay, err := sysctl{proxyDelay, s.Tap, ""}.read()
	if err != nil {
		return want, "", err
	}
	ipv6, err := sysctl{disableIPv6, s.Tap, ""}.read()
	if gone(err) {
		// A kernel without IPv6 is as good as one that has it switched off.
		ipv6, err = "1", nil
	}
	return want, show(l.up, l.mtu, l.forwarding, l.proxyARP, l.rpFilter, delay, ipv6), err
}

func (s tapLinkStep) shell() Commands {
	return Commands{Do: []string{
		"test ! -e /proc/sys/net/ipv6 || " + sysctl{disableIPv6, s.Tap, "1"}.set(),
		sysctl{forwarding, s.Tap, "1"}.set(),
		sysctl{rpFilter, s.Tap, "1"}.set(),
		sysctl{proxyARP, s.Tap, fmt.Sprint(s.tapProxyARP())}.set(),
		sysctl{proxyDelay, s.Tap, "0"}.set(),
		fmt.Sprintf("ip link set dev %s mtu %d up", s.Tap, s.MTU),
	}}
}

// tapAddressStep gives the tap an address, for guests that check whether their
// gateway lives and as the source of what the host sends to the guest.
type tapAddressStep struct {
	onTap
	tap     string
	address netip.Addr
}

func (s tapAddressStep) String() string { return fmt.Sprintf("address %s on %s", s.address, s.tap) }

func (s tapAddressStep) apply(h *Host, tap int) error {
	return h.rtnl.change(addTapAddress(tap, s.address))
}

// remove takes the address off a tap that stays.
func (s tapAddressStep) remove(h *Host) error {
	l, err := h.rtnl.linkByName(s.tap)
	if err != nil {
		return err
	}
	return h.rtnl.change(deleteAddress(l.index, s.address))
}

func (s tapAddressStep) check(h *Host) (want, have string, err error) {
	want = s.address.String() + "/32"
	l, err := h.rtnl.linkByName(s.tap)
	if err != nil {
		return want, "", err
	}
	have = absent
	all, err := h.rtnl.addresses(l.index)
	for _, a := range all {
		if a.Prefix.String() == want {
			have = want
		}
	}
	return want, have, err
}

func (s tapAddressStep) shell() Commands {
	return Commands{Do: []string{fmt.Sprintf("ip address add %s/32 dev %s scope link noprefixroute", s.address, s.tap)}}
}

// routeStep leads the guest's address to the tap.
type routeStep struct {
	onTap
	tap             string
	address, source netip.Addr
}

func (s routeStep) String() string { return fmt.Sprintf("route to %s by %s", s.address, s.tap) }

// apply replaces a route by the tap itself, whoever made it, but no other: that
// is somebody's wish.
func (s routeStep) apply(h *Host, tap int) error {
	err := h.rtnl.change(addRoute(tap, s.address, s.source))
	if errors.Is(err, unix.EEXIST) {
		if rt, err := h.rtnl.routeTo(s.address); err == nil && rt.oif == tap && rt.table == unix.RT_TABLE_MAIN {
			return h.rtnl.change(replaceRoute(tap, s.address, s.source))
		}
	}
	return routed(err)
}

func (s routeStep) check(h *Host) (want, have string, err error) {
	show := func(dev string, protocol uint8, source netip.Addr) string {
		return fmt.Sprintf("dev %s proto %d src %s", dev, protocol, source)
	}
	want = show(s.tap, RouteProtocol, s.source)
	rt, err := h.rtnl.routeTo(s.address)
	if err != nil || rt.dst.Bits() != 32 {
		return want, absent, unrouted(err)
	}
	return want, show(h.nameOf(rt.oif), rt.protocol, rt.source), nil
}

func (s routeStep) shell() Commands {
	return Commands{Do: []string{
		fmt.Sprintf("ip route add %s/32 dev %s proto %d scope link src %s", s.address, s.tap, RouteProtocol, s.source),
	}}
}

// neighbourStep pins the guest's MAC: the host need not ask for it, and no
// guest can claim to be another.
type neighbourStep struct {
	onTap
	tap     string
	address netip.Addr
	mac     MAC
}

func (s neighbourStep) String() string { return fmt.Sprintf("neighbour %s on %s", s.address, s.tap) }

func (s neighbourStep) apply(h *Host, tap int) error {
	return h.rtnl.change(addNeighbour(tap, s.address, s.mac))
}

func (s neighbourStep) check(h *Host) (want, have string, err error) {
	want = s.mac.String() + " permanent"
	l, err := h.rtnl.linkByName(s.tap)
	if err != nil {
		return want, "", err
	}
	n, err := h.rtnl.neighbour(l.index, s.address, 0)
	have = n.mac.String()
	if n.state&unix.NUD_PERMANENT != 0 {
		have += " permanent"
	}
	return want, have, err
}

func (s neighbourStep) shell() Commands {
	return Commands{Do: []string{
		fmt.Sprintf("ip neighbour add %s lladdr %s nud permanent dev %s", s.address, s.mac, s.tap),
	}}
}
