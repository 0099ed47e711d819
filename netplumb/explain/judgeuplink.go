package explain

import (
	"golang.org/x/sys/unix"

	"kvmrun/netplumb"
)

// What stands on the uplink and goes when it is taken down.
var onUplink = []netplumb.Part{netplumb.PartForwarding, netplumb.PartProxyARP, netplumb.PartProxyEntry, netplumb.PartAlias}

func (f *facts) judgeUplink() Hop {
	d := f.uplink
	switch {
	case !d.exists:
		return fail(HopUplink, "", "there is no %s, the guest's way to the LAN", d.name)
	case !d.up:
		return fail(HopUplink, join("ip link set dev "+d.name+" up", f.mend(onUplink...)), "%s is down, and the kernel has taken routes and proxy entries that stood on it", d.name)
	case !d.carrier:
		return fail(HopUplink, "", "%s has no carrier: its cable is out, or the other end is off", d.name).look("ip -s link show dev " + d.name)
	case d.noARP:
		return fail(HopUplink, arpOn(d), "ARP is off on %s: machines of the LAN do not find the guest there, nor this host them", d.name)
	case d.master != "":
		return warn(HopUplink, "", "%s has become a part of %s, and by itself takes no part in IP any more", d.name, d.master)
	case f.Plan.UplinkIndex != d.index:
		return warn(HopUplink, "", "%s is another interface than when the guest's network was made (number %d, not %d)", d.name, d.index, f.Plan.UplinkIndex)
	}
	return ok(HopUplink, "%s is up, with a carrier", d.name)
}

func arpOn(d device) string { return "ip link set dev " + d.name + " arp on" }

func (f *facts) noUplink(name string) Hop { return skipped(name, "%s cannot be used", f.cfg.Uplink) }

func (f *facts) judgeForwarding() Hop {
	var seen, remedy string
	for _, d := range []device{f.tap, f.uplink} {
		if d.exists && !d.forwarding {
			seen += " and on " + d.name
			remedy = join(remedy, set(d.name, "forwarding", 1))
		}
	}
	if seen != "" {
		return fail(HopForwarding, remedy, "forwarding is off%s: what comes in there for others is dropped, and the kernel answers no ARP for others", seen[len(" and"):])
	}
	return ok(HopForwarding, "forwarding is on where packets come in")
}

// filteredIn tells whether the uplink's reverse-path filter drops what comes from
// the LAN's machine.
func (f *facts) filteredIn() bool {
	back := f.toPeer.err == nil && f.toPeer.dev != f.uplink.name
	return f.in.is(unix.EXDEV) || f.in.is(unix.EINVAL) && f.uplink.rpFilter == strict && back
}

// Values of rp_filter (the kernel's networking/ip-sysctl.rst).
const (
	strict = 1
	loose  = 2
)

// judgeRPFilter judges the filters that drop what would be answered by another
// interface (RFC 3704).
func (f *facts) judgeRPFilter() Hop {
	switch {
	case f.filteredIn():
		return fail(HopRPFilter, set(f.uplink.name, "rp_filter", loose),
			"rp_filter of %s drops what comes from %s: the route back there is not by %s", f.uplink.name, f.peer.addr, f.uplink.name).
			look("ip route get " + f.peer.addr.String())
	case f.out.is(unix.EXDEV) && f.judgeRoute().Status == OK:
		return fail(HopRPFilter, f.beforeRules("to "+f.cfg.Address.String()),
			"rp_filter of %s drops what comes from the guest: the route back to it is not by %s%s", f.tap.name, f.tap.name, f.ruleTexts())
	case f.tap.exists && f.tap.rpFilter != strict:
		return warn(HopRPFilter, set(f.tap.name, "rp_filter", strict), "rp_filter of %s is not strict, so that the guest can send from addresses that are not its own (see kvmrun host check)", f.tap.name)
	}
	return ok(HopRPFilter, "no reverse-path filter is in the way")
}

// judgeRouteIn judges where the kernel sends what comes in by the uplink. Other
// hops have the answers that are about forwarding and reverse-path filters.
func (f *facts) judgeRouteIn() Hop {
	l, guest := f.in, f.cfg.Address
	switch {
	case !f.uplink.usable() || !f.tap.usable():
		return skipped(HopRouteIn, "an interface cannot be used")
	case l.is(errNotTried):
		return unknown(HopRouteIn, "%v", l.err)
	case f.filteredIn(), l.err != nil && !f.uplink.forwarding:
		return skipped(HopRouteIn, "what comes by %s is not let in", f.uplink.name)
	case l.err == nil && l.dev == f.cfg.Tap && !l.local:
		return ok(HopRouteIn, "what comes from %s by %s for %s goes to %s", f.peer.addr, f.uplink.name, guest, l)
	case f.judgeRoute().Status != OK:
		return fail(HopRouteIn, "", "what comes by %s for %s does not go to %s, either: %s", f.uplink.name, guest, f.cfg.Tap, l)
	}
	return fail(HopRouteIn, f.beforeRules("iif "+f.uplink.name+" to "+guest.String()),
		"what comes from %s by %s for %s does not go to %s, although what this host itself sends does: %s%s", f.peer.addr, f.uplink.name, guest, f.cfg.Tap, l, f.ruleTexts()).
		look("ip route get "+guest.String()+" from "+f.peer.addr.String()+" iif "+f.uplink.name, "ip rule")
}

func (f *facts) judgeRouteOut() Hop {
	l, tap := f.out, f.cfg.Tap
	look := "ip route get " + f.peer.addr.String() + " from " + f.cfg.Address.String() + " iif " + tap
	switch {
	case !f.uplink.usable() || !f.tap.usable():
		return skipped(HopRouteOut, "an interface cannot be used")
	case l.is(errNotTried):
		return unknown(HopRouteOut, "%v", l.err)
	case f.judgeRoute().Status != OK:
		return skipped(HopRouteOut, "the route to the guest comes first: by it the kernel judges where packets come from")
	case l.is(unix.EXDEV), l.err != nil && !f.tap.forwarding:
		return skipped(HopRouteOut, "what comes by %s is not let in", tap)
	case l.local:
		return fail(HopRouteOut, "", "this host takes %s for its own address", f.peer.addr).look(look)
	case l.err != nil:
		return fail(HopRouteOut, f.beforeRules("iif "+tap), "what comes from the guest by %s for %s is not routed: %s%s", tap, f.peer.addr, l, f.ruleTexts()).look(look, "ip rule")
	case l.dev != f.uplink.name:
		return warn(HopRouteOut, "", "what comes from the guest for %s goes to %s, not by %s", f.peer.addr, l, f.uplink.name).look(look)
	}
	return ok(HopRouteOut, "what comes from the guest by %s for %s goes to %s", tap, f.peer.addr, l)
}
