package explain

import (
	"fmt"
	"slices"
	"strconv"
	"time"

	"kvmrun/netplumb"
)

func (f *facts) judgeLANMachine() Hop {
	p := f.peer
	name := p.addr.String()
	if p.next != p.addr {
		name = fmt.Sprintf("%s, the router to %s,", p.next, p.addr)
	}
	look := []string{"tcpdump -ni " + f.cfg.Uplink + " arp", "ip neigh show dev " + f.cfg.Uplink}
	switch {
	case !f.uplink.usable():
		return f.noUplink(HopLANMachine)
	case !p.addr.IsValid():
		return unknown(HopLANMachine, "there is no default router by %s to try with; name a machine of the LAN by --with", f.cfg.Uplink)
	case !p.owner.asked:
		return unknown(HopLANMachine, "%s is no Ethernet: there is no ARP to ask by", f.cfg.Uplink)
	case p.owner.err != nil:
		return unknown(HopLANMachine, "%v", p.owner.err)
	case p.owner.mac == nil:
		return fail(HopLANMachine, "", "%s does not answer ARP on %s: it is off, or the cable leads elsewhere; try another by --with", name, f.cfg.Uplink).look(look...)
	}
	return ok(HopLANMachine, "%s is there, at %s on %s", name, p.owner.mac, f.cfg.Uplink)
}

func (f *facts) judgeRival() Hop {
	r, guest := f.rival, f.cfg.Address
	switch {
	case !r.asked:
		return f.noUplink(HopRival)
	case r.err != nil:
		return unknown(HopRival, "%v", r.err)
	case r.mac != nil && f.lan():
		return fail(HopRival, "", "%s answers ARP for %s on %s, too: machines of the LAN send to that one, or now here, now there; it must give the address up, or the guest take another", r.mac, guest, f.cfg.Uplink).
			look("tcpdump -eni " + f.cfg.Uplink + " arp host " + guest.String())
	case r.mac != nil:
		return warn(HopRival, "", "%s answers ARP for %s on %s, too: perhaps another host with guests in %s", r.mac, guest, f.cfg.Uplink, f.cfg.Subnet)
	}
	return ok(HopRival, "nobody else answers ARP for %s on %s", guest, f.cfg.Uplink)
}

// judgeProxyARP judges whether this host answers for the guest on the LAN. That
// is what makes the guest reachable in a LAN; in a subnet of its own it is of use
// only to machines that take the guest for a neighbour.
func (f *facts) judgeProxyARP() Hop {
	guest, uplink := f.cfg.Address, f.cfg.Uplink
	part, what := netplumb.PartProxyEntry, "a proxy entry for "+guest.String()
	if f.cfg.ProxyARP == netplumb.ProxyInterface {
		part, what = netplumb.PartProxyARP, "proxy_arp"
	}
	switch {
	case f.cfg.ProxyARP == netplumb.ProxyOff:
		return skipped(HopProxyARP, "--proxy-arp off: this host answers for nobody")
	case !f.uplink.exists:
		return f.noUplink(HopProxyARP)
	case !f.review[part].OK && f.lan():
		return fail(HopProxyARP, f.mend(part), "%s lacks %s: machines of the LAN ask for the guest by ARP, and nobody answers", uplink, what)
	case !f.review[part].OK:
		return warn(HopProxyARP, f.mend(part), "%s lacks %s; machines with a route to the guest need none", uplink, what)
	case !f.review[netplumb.PartProxyDelay].OK:
		return f.judgeDelay(uplink + " has " + what)
	case f.peerAsked && !f.peerAnswered && f.lan():
		return fail(HopProxyARP, "", "%s asked for %s by ARP on %s, and this host did not answer, although it has %s", f.peer.addr, guest, uplink, what).
			look(f.routeInLook(), "tcpdump -eni "+uplink+" arp")
	case f.peerAsked && f.peerAnswered:
		return ok(HopProxyARP, "%s asked for %s by ARP on %s, and this host answered", f.peer.addr, guest, uplink)
	}
	return ok(HopProxyARP, "%s has %s", uplink, what)
}

func (f *facts) routeInLook() string {
	return "ip route get " + f.cfg.Address.String() + " from " + f.peer.addr.String() + " iif " + f.cfg.Uplink
}

// askedFor is how long a machine waits for an answer to ARP, all its questions
// together (mcast_solicit and retrans_time_ms of the kernel's
// networking/ip-sysctl.rst).
const askedFor = 3 * time.Second

// judgeDelay judges proxy_delay, which is in hundredths of a second.
func (f *facts) judgeDelay(has string) Hop {
	remedy := f.mend(netplumb.PartProxyDelay)
	hundredths, err := strconv.Atoi(f.review[netplumb.PartProxyDelay].Have)
	if err != nil {
		return warn(HopProxyARP, remedy, "%s, and may wait before it answers", has)
	}
	delay := time.Duration(hundredths) * 10 * time.Millisecond
	if delay > askedFor && f.lan() {
		return fail(HopProxyARP, remedy, "%s, but waits up to %v at random before it answers: nobody asks for so long", has, delay)
	}
	return warn(HopProxyARP, remedy, "%s, but waits up to %v at random before it answers", has, delay)
}

// judgeGateway judges whether this host answers the guest's own questions.
func (f *facts) judgeGateway() Hop {
	tap := f.cfg.Tap
	unanswered := slices.IndexFunc(f.questions, func(q question) bool { return !q.answered })
	switch {
	case !f.tap.usable():
		return f.noTap(HopGateway)
	case f.cfg.ProxyARP != netplumb.ProxyOff && !f.tap.proxy && f.lan():
		return fail(HopGateway, set(tap, "proxy_arp", 1), "proxy_arp of %s is off: the guest, which takes the whole LAN for neighbours, asks for them by ARP, and nobody answers", tap)
	case unanswered >= 0:
		return fail(HopGateway, "", "the guest asked for %s by ARP on %s, and this host did not answer", f.questions[unanswered].addr, tap).
			look("tcpdump -eni "+tap+" arp", "sysctl net.ipv4.conf.all.arp_ignore net/ipv4/conf/"+tap+"/arp_ignore")
	case f.cfg.ProxyARP != netplumb.ProxyOff && !f.tap.proxy:
		return warn(HopGateway, set(tap, "proxy_arp", 1), "proxy_arp of %s is off: the guest does not reach other guests of %s", tap, f.cfg.Subnet)
	case f.Plan.Alias != nil && !f.review[netplumb.PartAlias].OK:
		return warn(HopGateway, f.mend(netplumb.PartAlias), "%s does not stand on %s, so that it goes with the last tap", f.Plan.Alias.Address, f.cfg.Uplink)
	case f.Still:
		return skipped(HopGateway, "the guest stands still")
	case f.guest.asked && f.guest.mac == nil && len(f.questions) == 0:
		return skipped(HopGateway, "the guest has said nothing on %s", tap)
	case len(f.questions) > 0:
		return ok(HopGateway, "the guest asked for %s by ARP on %s, and this host answered", f.questions[0].addr, tap)
	}
	return ok(HopGateway, "the guest knows its router: it asked nothing")
}

// lost says between which two points a packet was lost in this host.
func (f *facts) lost(name, what, from, to string) Hop {
	return fail(name, "", "%s came in by %s and never went out by %s: it was lost in this host, between the two", what, from, to).
		look(fmt.Sprintf("tcpdump -ni %s icmp & tcpdump -ni %s icmp", from, to), "nft list ruleset", "iptables-save -c", "nstat -asz | grep -i -e drop -e filter -e noroute -e discard")
}

// judgeOutward judges an answer of the guest's to the LAN's machine.
func (f *facts) judgeOutward() Hop {
	t, guest, peer, tap, out := f.outward, f.cfg.Address, f.peer.addr, f.cfg.Tap, f.cfg.Uplink
	if f.out.dev != "" {
		out = f.out.dev
	}
	switch {
	case f.tryErr != nil:
		return unknown(HopOutward, "%v", f.tryErr)
	case !t.tried:
		return skipped(HopOutward, "no packet could be sent this way")
	case t.passed:
		return ok(HopOutward, "a packet of the guest's to %s came in by %s and went out by %s", peer, tap, out)
	case t.entered:
		return f.lost(HopOutward, fmt.Sprintf("a packet of the guest's to %s", peer), tap, out)
	case t.sendErr != nil || !t.left:
		return unknown(HopOutward, "the guest could not be asked to answer %s: the question never went out by %s%s", peer, tap, because(t.sendErr))
	case f.hostTrip.entered:
		return fail(HopOutward, "", "%s answers this host, but not %s: it has no route there by its router %s, or its own firewall drops that", guest, peer, f.cfg.Gateway).
			look("ip route # in the guest")
	}
	return unknown(HopOutward, "%s answers no ping, so none of its packets could be followed to %s", guest, peer)
}

// judgeInward judges an answer of the LAN's machine to the guest.
func (f *facts) judgeInward() Hop {
	t, guest, peer, uplink := f.inward, f.cfg.Address, f.peer.addr, f.cfg.Uplink
	switch {
	case f.tryErr != nil:
		return unknown(HopInward, "%v", f.tryErr)
	case !t.tried:
		return skipped(HopInward, "no packet could be sent this way")
	case t.passed:
		return ok(HopInward, "a packet of %s to the guest came in by %s and went out by %s", peer, uplink, f.cfg.Tap)
	case t.entered:
		return f.lost(HopInward, fmt.Sprintf("a packet of %s to the guest", peer), uplink, f.cfg.Tap)
	case t.sendErr != nil || !t.left:
		return unknown(HopInward, "%s could not be asked to answer the guest: the question never went out by %s%s", peer, uplink, because(t.sendErr))
	case !f.control.entered:
		return unknown(HopInward, "%s answers no ping, not even this host's, so none of its packets could be followed to the guest; try another by --with", peer)
	case f.lan() && f.peerAsked && !f.peerAnswered:
		return unknown(HopInward, "%s asked for %s by ARP, and has no answer yet", peer, guest)
	case f.lan():
		return fail(HopInward, fmt.Sprintf("ip neigh flush %s # on %s", guest, peer),
			"%s answers this host, but its answer to %s did not come in by %s: it has the guest's address at another MAC, or does not take it for a neighbour", peer, guest, uplink).
			look(fmt.Sprintf("ip neigh show %s; ip route get %s # on %s", guest, guest, peer))
	}
	return fail(HopInward, fmt.Sprintf("ip route add %s via %s # on %s", f.cfg.Subnet, f.peer.from, peer),
		"%s answers this host, but its answer to %s did not come in by %s: it has no route to %s by %s", peer, guest, uplink, f.cfg.Subnet, f.peer.from).
		look(fmt.Sprintf("ip route get %s # on %s", guest, peer))
}

// because is an error in brackets, if there is one.
func because(err error) string {
	if err == nil {
		return ""
	}
	return " (" + err.Error() + ")"
}
