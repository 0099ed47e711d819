package hostcheck

import (
	"fmt"
	"slices"
	"strings"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// UplinkForwarding checks that a host that is a router for its guests is not
// one for its other networks: what comes in by the uplink is routed to wherever
// a route leads, and a machine on the LAN needs no more than a route of its own
// to this host. Where ip_forward is set, somebody wants a router.
func (h Host) UplinkForwarding() Result {
	const name = "uplink-forwarding"
	if h.Uplink == "" {
		return ok(name, "there is no uplink")
	}
	all, err := h.conf("all", "forwarding")
	if err != nil {
		return unknown(name, err)
	}
	own, err := h.conf(h.Uplink, "forwarding")
	if err != nil {
		return unknown(name, err)
	}
	if own == 0 || all != 0 {
		return ok(name, "forwarding is %d on %s and %d for all: guests change nothing for this host's other networks", own, h.Uplink, all)
	}
	open, err := h.openNetworks()
	if err != nil {
		return unknown(name, err)
	}
	if len(open) == 0 {
		return ok(name, "what comes in by %s is routed to no network but the guests' and its own", h.Uplink)
	}
	return warn(name, fmt.Sprintf("iptables -I FORWARD -i %s ! -o %s+ -j DROP", h.Uplink, h.TapPrefix),
		"forwarding, which guests need on %s, routes what comes in there to the networks behind %s, too: any machine on the LAN can send there",
		h.Uplink, strings.Join(open, ", "))
}

// openNetworks are the interfaces beside the uplink and the taps that have a
// route and to which no packet filter keeps anybody from sending.
func (h Host) openNetworks() ([]string, error) {
	others, err := h.routedInterfaces()
	if err != nil || len(others) == 0 {
		return nil, err
	}
	filters, err := h.Filters()
	if err != nil {
		return nil, err
	}
	var open []string
	for _, other := range others {
		drops, err := filters.Drops(Forward, Packet{In: h.Uplink, Out: other})
		if err != nil {
			return nil, err
		}
		// A rule that was not judged may be about other packets.
		if !slices.ContainsFunc(drops, func(d Drop) bool { return !d.Unjudged }) {
			open = append(open, other)
		}
	}
	return open, nil
}

// routedInterfaces are the interfaces that routes of the main table lead to,
// but for the loopback, the uplink and the taps, in order.
func (h Host) routedInterfaces() ([]string, error) {
	routes, err := netlink.RouteList(nil, netlink.FAMILY_V4)
	if err != nil {
		return nil, fmt.Errorf("list the routes: %w", err)
	}
	indexes := map[int]bool{}
	for _, route := range routes {
		if route.Type != unix.RTN_UNICAST {
			continue
		}
		indexes[route.LinkIndex] = true
		for _, hop := range route.MultiPath {
			indexes[hop.LinkIndex] = true
		}
	}
	var names []string
	for index := range indexes {
		link, err := netlink.LinkByIndex(index)
		if err != nil {
			continue // it went meanwhile, or the route has none
		}
		name := link.Attrs().Name
		if name != "lo" && name != h.Uplink && !strings.HasPrefix(name, h.TapPrefix) {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return names, nil
}
