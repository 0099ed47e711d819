package netplumb

import (
	"fmt"
	"net/netip"

	"golang.org/x/sys/unix"
)

// DefaultRoute is the way out of this host.
type DefaultRoute struct {
	// Interface is the uplink to choose if none was named.
	Interface string
	// Router is the next hop; the zero Addr on a point-to-point link.
	Router netip.Addr
}

// DefaultRoute returns the default route of the main table with the lowest
// metric; ok is false if there is none.
func (h *Host) DefaultRoute() (d DefaultRoute, ok bool, err error) {
	var best route
	err = h.rtnl.routes(unix.RT_TABLE_MAIN, func(rt route) {
		if rt.dst.Bits() == 0 && rt.kind == unix.RTN_UNICAST && rt.oif != 0 && (!ok || rt.metric < best.metric) {
			best, ok = rt, true
		}
	})
	if err != nil {
		return d, false, fmt.Errorf("look for the default route: %w", err)
	}
	if !ok {
		return d, false, nil
	}
	name, _, err := h.linkName(best.oif)
	return DefaultRoute{Interface: name, Router: best.via}, err == nil, err
}

// DefaultUplink returns the interface of the default route, "" if there is none.
func (h *Host) DefaultUplink() (string, error) {
	d, _, err := h.DefaultRoute()
	return d.Interface, err
}

// Routers lists the next hops of this host's routes, in whatever table: addresses
// that are others' for sure.
func (h *Host) Routers() (map[netip.Addr]bool, error) {
	routers := map[netip.Addr]bool{}
	err := h.rtnl.routes(unix.RT_TABLE_UNSPEC, func(rt route) {
		if rt.via.IsValid() {
			routers[rt.via] = true
		}
	})
	if err != nil {
		return nil, fmt.Errorf("look for routers: %w", err)
	}
	return routers, nil
}

// CheckAddressFree says whether an address is free as far as this host can
// tell without asking the LAN. Errors wrap ErrAddressOnHost if the host has it,
// ErrAddressInvalid if it is a broadcast address, and ErrAddressRouted if a /32
// route leads to it already, be it kvmrun's.
func (h *Host) CheckAddressFree(addr netip.Addr) error {
	rt, err := h.rtnl.routeTo(addr)
	if err != nil {
		if err := unrouted(err); err != nil {
			return fmt.Errorf("look up the route to %s: %w", addr, err)
		}
		return nil
	}
	switch {
	case rt.kind == unix.RTN_BROADCAST:
		return fmt.Errorf("%w: %s is a broadcast address on %s; choose another with --ip", ErrAddressInvalid, addr, h.nameOf(rt.oif))
	case rt.kind == unix.RTN_LOCAL:
		return fmt.Errorf("%w: %s is %s's; choose another with --ip", ErrAddressOnHost, addr, h.nameOf(rt.oif))
	case rt.dst.Bits() == 32 && rt.protocol == RouteProtocol:
		return fmt.Errorf("%w: kvmrun routes %s to %s; choose another with --ip", ErrAddressRouted, addr, h.nameOf(rt.oif))
	case rt.dst.Bits() == 32:
		return fmt.Errorf("%w: this host has the route %s; choose another with --ip", ErrAddressRouted, h.describe(rt))
	}
	return nil
}

// CheckTapFree says whether no interface has a tap's name. The error wraps
// ErrTapExists.
func (h *Host) CheckTapFree(name string) error {
	_, err := h.rtnl.linkByName(name)
	switch {
	case err == nil:
		return fmt.Errorf("%w: %s; remove it or choose another name", ErrTapExists, name)
	case gone(err):
		return nil
	}
	return fmt.Errorf("look up interface %s: %w", name, err)
}

// CheckSubnet says whether a subnet collides with a route of this host's, in
// whatever table but local. Errors wrap ErrSubnetOverlap and name the route.
// No collision are kvmrun's own routes and those wider than a /8, which only
// stand for "everything". If the subnet lies in a LAN of the uplink's, neither
// are the uplink's routes nor those wider than the LAN's own, which wins.
func (h *Host) CheckSubnet(subnet netip.Prefix, uplink string) error {
	facts, err := h.Facts(uplink, netip.Addr{})
	if err != nil {
		return err
	}
	lan, inLAN := facts.LAN(subnet.Addr())
	var found *route
	err = h.rtnl.routes(unix.RT_TABLE_UNSPEC, func(rt route) {
		switch {
		case found != nil || rt.table == unix.RT_TABLE_LOCAL || rt.protocol == RouteProtocol:
		case rt.dst.Bits() < shortestPrefix || !rt.dst.Overlaps(subnet):
		case inLAN && (rt.oif == facts.Uplink.Index || rt.dst.Bits() < lan.Prefix.Bits()):
		default:
			found = &rt
		}
	})
	if err != nil {
		return fmt.Errorf("look for routes to %s: %w", subnet, err)
	}
	if found != nil {
		return fmt.Errorf("%w: %s and the route %s; choose another with --subnet or --ip", ErrSubnetOverlap, subnet, h.describe(*found))
	}
	return nil
}

// describe writes a route as iproute2 does.
func (h *Host) describe(rt route) string {
	s := rt.dst.String()
	switch rt.kind {
	case unix.RTN_BLACKHOLE:
		s = "blackhole " + s
	case unix.RTN_UNREACHABLE:
		s = "unreachable " + s
	case unix.RTN_PROHIBIT:
		s = "prohibit " + s
	}
	if rt.via.IsValid() {
		s += " via " + rt.via.String()
	}
	if rt.oif != 0 {
		s += " dev " + h.nameOf(rt.oif)
	}
	if rt.table != unix.RT_TABLE_MAIN {
		s += fmt.Sprintf(" table %d", rt.table)
	}
	return s
}

// nameOf is an interface's name for a message.
func (h *Host) nameOf(index int) string {
	name, _, err := h.linkName(index)
	if err != nil {
		return fmt.Sprintf("interface %d", index)
	}
	return name
}
