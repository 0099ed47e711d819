package explain

import (
	"bytes"
	"fmt"
	"slices"

	"kvmrun/netplumb"
	"kvmrun/netplumb/hostcheck"
)

// What stands on the tap and goes when it is taken down.
var onTap = []netplumb.Part{netplumb.PartAddress, netplumb.PartRoute, netplumb.PartNeighbour}

// The alias is the same address, on the uplink.
var onTapAndAlias = append(slices.Clone(onTap), netplumb.PartAlias)

func (f *facts) judgeTap() Hop {
	d, finding := f.tap, f.review[netplumb.PartTap]
	switch {
	case !d.exists:
		return fail(HopTap, "", "there is no %s: the guest's cable is cut for good, for QEMU holds the descriptor of the tap that is gone", d.name)
	case !finding.OK:
		return fail(HopTap, "", "%s is another's (%s, not %s): the guest's own tap is gone", d.name, finding.Have, finding.Want)
	case !d.up:
		return fail(HopTap, join("ip link set dev "+d.name+" up", f.mend(onTap...)), "%s is down, and the kernel has taken what stood on it", d.name)
	case !d.carrier:
		return fail(HopTap, "", "%s has no carrier: no QEMU has it open", d.name)
	case d.noARP:
		return fail(HopTap, arpOn(d), "ARP is off on %s: the guest does not find its gateway", d.name)
	case d.mtu != f.cfg.MTU:
		return warn(HopTap, fmt.Sprintf("ip link set dev %s mtu %d", d.name, f.cfg.MTU), "%s is up, but its MTU is %d, not the guest's %d: large packets may be lost", d.name, d.mtu, f.cfg.MTU)
	}
	return ok(HopTap, "%s is up, and QEMU has it open", d.name)
}

func (f *facts) judgeGuest() Hop {
	g, tap := f.guest, f.cfg.Tap
	tcpdump := "tcpdump -ni " + tap + " arp or icmp"
	switch {
	case f.Still:
		return skipped(HopGuest, "the guest stands still")
	case !g.asked:
		return skipped(HopGuest, "nothing reaches the guest by %s", tap)
	case g.err != nil:
		return unknown(HopGuest, "%v", g.err)
	case g.mac == nil && f.elsewhere.mac != nil:
		return fail(HopGuest, "", "nobody answers ARP for %s on %s, but %s does for %s: the guest has another address than the one that is routed to it", f.cfg.Address, tap, f.elsewhere.mac, f.elsewhere.addr)
	case g.mac == nil:
		return fail(HopGuest, "", "nobody answers ARP for %s on %s: the guest has not taken its address, or its card or network is down", f.cfg.Address, tap).look(tcpdump)
	case !bytes.Equal(g.mac, f.cfg.MAC.HardwareAddr()):
		return fail(HopGuest, "", "%s answers ARP for %s on %s, but the guest's card was made with %s, and only there this host sends its packets: somebody has changed the MAC in the guest", g.mac, f.cfg.Address, tap, f.cfg.MAC).look(tcpdump)
	}
	return ok(HopGuest, "%s answers ARP for %s on %s", g.mac, f.cfg.Address, tap)
}

func (f *facts) judgeAddress() Hop {
	addr, tap := f.Plan.TapAddress, f.cfg.Tap
	switch {
	case !f.tap.usable():
		return f.noTap(HopAddress)
	case f.tapOn == tap:
		return ok(HopAddress, "%s stands on %s", addr, tap)
	case !f.review[netplumb.PartRoute].OK:
		return fail(HopAddress, f.mend(onTapAndAlias...), "%s does not stand on %s, and with it the kernel has taken the route to the guest, of which it is the sender", addr, tap)
	case f.tapOn != "":
		return warn(HopAddress, f.mend(onTap...), "%s does not stand on %s; the guest gets answers all the same, for %s has it", addr, tap, f.tapOn)
	}
	return fail(HopAddress, f.mend(onTapAndAlias...), "no interface has %s: the guest's router does not answer it, and what this host sends to it has no sender", addr)
}

// noTap is what hops on the tap have to say where there is none.
func (f *facts) noTap(name string) Hop { return skipped(name, "%s cannot be used", f.cfg.Tap) }

func (f *facts) judgeNeighbour() Hop {
	guest, tap, mac := f.cfg.Address, f.cfg.Tap, f.cfg.MAC.HardwareAddr()
	switch {
	case !f.tap.usable():
		return f.noTap(HopNeighbour)
	case f.macErr != nil:
		return unknown(HopNeighbour, "%v", f.macErr)
	case f.mac == nil:
		return warn(HopNeighbour, f.mend(netplumb.PartNeighbour), "this host has no MAC for %s on %s, and has to ask first", guest, tap)
	case !bytes.Equal(f.mac, mac):
		return fail(HopNeighbour, f.mend(netplumb.PartNeighbour), "this host has %s at %s on %s, not at %s: the guest drops what is sent there", guest, f.mac, tap, mac)
	case !f.review[netplumb.PartNeighbour].OK:
		return warn(HopNeighbour, f.mend(netplumb.PartNeighbour), "this host has %s at %s on %s, but not for good: the guest may replace it", guest, f.mac, tap)
	}
	return ok(HopNeighbour, "%s is at %s on %s, permanently", guest, f.mac, tap)
}

func (f *facts) judgeRoute() Hop {
	l := f.toGuest
	switch {
	case !f.tap.usable():
		return f.noTap(HopRoute)
	case l.err == nil && l.dev == f.cfg.Tap && !l.local:
		return ok(HopRoute, "this host sends what is for %s to %s", f.cfg.Address, l)
	case f.mainRoute != f.cfg.Tap:
		return fail(HopRoute, f.mend(onTap...), "for %s this host has no route by %s: %s", f.cfg.Address, f.cfg.Tap, l)
	}
	return fail(HopRoute, f.beforeRules("to "+f.cfg.Address.String()), "what this host itself sends to %s does not go by %s: %s%s", f.cfg.Address, f.cfg.Tap, l, f.ruleTexts()).
		look("ip route get "+f.cfg.Address.String(), "ip rule")
}

// judgeHost judges a packet from this host to the guest and its answer.
func (f *facts) judgeHost() Hop {
	t, guest, tap := f.hostTrip, f.cfg.Address, f.cfg.Tap
	look := []string{"tcpdump -ni " + tap + " icmp", "nft list ruleset", fmt.Sprintf("ip route get %s from %s", guest, f.Plan.TapAddress)}
	switch {
	case f.tryErr != nil:
		return unknown(HopHost, "%v", f.tryErr)
	case f.Still:
		return skipped(HopHost, "the guest stands still")
	case !t.tried:
		return f.noTap(HopHost)
	case t.passed:
		return ok(HopHost, "%s answers this host's ping in %.1f ms", guest, float64(t.took.Microseconds())/1000)
	case t.sendErr != nil || !t.left:
		return f.judgeOwnPackets(look)
	case !t.entered && f.guest.mac == nil:
		return unknown(HopHost, "a ping to %s went out by %s; no answer, as before", guest, tap)
	case !t.entered:
		return warn(HopHost, "", "%s answers ARP but not this host's ping, which went out by %s: its own firewall drops pings, or it has no way back to %s; so it is not seen whether it answers others", guest, tap, f.Plan.TapAddress).
			look("tcpdump -ni " + tap + " icmp or arp")
	}
	return warn(HopHost, "", "%s answers this host's ping, but the answer gets lost between %s and this host's sockets: a packet filter for what comes in", guest, tap).
		look("nft list ruleset", "iptables-save -c")
}

// judgeOwnPackets says what keeps this host's own packets to the guest from
// leaving.
func (f *facts) judgeOwnPackets(look []string) Hop {
	why := fmt.Sprintf("a ping of this host's to %s never went out by %s%s", f.cfg.Address, f.cfg.Tap, because(f.hostTrip.sendErr))
	found, remedy := f.dropped(toGuest, true, hostcheck.Output, hostcheck.Postrouting)
	if found == "" {
		return fail(HopHost, "", "%s", why).look(look...)
	}
	return fail(HopHost, remedy, "%s: %s", why, found).look(look...)
}
