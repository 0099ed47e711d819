package explain

import (
	"context"
	"net/netip"
	"slices"
	"sync"
	"time"

	"kvmrun/netplumb/arp"
)

// rounds is how often a packet is sent until it is answered.
const rounds = 4

// try asks by ARP and sends packets, as far as the interfaces let it.
func (f *facts) try(ctx context.Context) error {
	f.ask(ctx)
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	var devices []device
	for _, d := range []device{f.tap, f.uplink} {
		if d.usable() && d.ethernet {
			devices = append(devices, d)
		}
	}
	if other := f.out.dev; other != "" && other != f.cfg.Tap && other != f.cfg.Uplink {
		if d, err := lookDevice(other); err == nil && d.usable() && d.ethernet {
			devices = append(devices, d) // the guest's answers leave there
		}
	}
	f.tryErr = f.exchange(ctx, devices)
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	return nil
}

// ask asks by ARP: the guest, the LAN's machine, and whoever else has the
// guest's address, side by side.
func (f *facts) ask(ctx context.Context) {
	var wg sync.WaitGroup
	if f.tap.usable() && !f.Still {
		wg.Go(func() { f.askGuest(ctx) })
	}
	if f.uplink.usable() && f.uplink.ethernet {
		wg.Go(func() {
			f.rival.asked = true
			f.rival.mac, f.rival.err = arp.Probe(ctx, f.cfg.Uplink, f.cfg.Address)
		})
		if f.peer.addr.IsValid() {
			wg.Go(func() {
				f.peer.owner.asked = true
				f.peer.owner.mac, f.peer.owner.err = arp.Ask(ctx, f.cfg.Uplink, f.peer.next, f.peer.from, f.Patience)
			})
		}
	}
	wg.Wait()
}

// askGuest asks the guest, and one that does not answer for its address whether
// it has another.
func (f *facts) askGuest(ctx context.Context) {
	f.guest.asked, f.guest.addr = true, f.cfg.Address
	f.guest.mac, f.guest.err = arp.Ask(ctx, f.cfg.Tap, f.cfg.Address, f.Plan.TapAddress, f.Patience)
	if f.guest.mac == nil && f.guest.err == nil {
		found, err := arp.Sweep(ctx, f.cfg.Tap, f.cfg.Subnet, f.Plan.TapAddress, f.Patience/2)
		f.elsewhere = owner{true, found.Addr, found.MAC, err}
	}
}

// journey is a packet to be sent and what has to be seen of it.
type journey struct {
	trip     *trip
	from, to netip.Addr
	tag      tag
	first    string // where it goes out and its answer comes in
	next     string // where its answer goes out; "" for this host's own socket
	answered bool   // the answer need not go on
	sent     time.Time
}

// exchange sends packets each way and watches them. The first is the host's own
// to the guest, so that the guest is awake for the others.
func (f *facts) exchange(ctx context.Context, devices []device) error {
	w, err := openWatch(devices...)
	if err != nil {
		return err
	}
	defer w.close()
	s, err := openSender()
	if err != nil {
		return err
	}
	defer s.close()

	tap, uplink, guest := f.cfg.Tap, f.cfg.Uplink, f.cfg.Address
	has := func(name string) bool {
		return slices.ContainsFunc(devices, func(d device) bool { return d.name == name })
	}
	if has(tap) && !f.Still {
		f.run(ctx, w, s, &journey{trip: &f.hostTrip, from: f.Plan.TapAddress, to: guest, first: tap})
	}
	var all []*journey
	if has(tap) && has(uplink) && f.peer.addr.IsValid() {
		all = append(all, &journey{trip: &f.inward, from: guest, to: f.peer.addr, first: uplink, next: tap})
		if !f.Still {
			leaves := uplink
			if has(f.out.dev) {
				leaves = f.out.dev
			}
			all = append(all, &journey{trip: &f.outward, from: f.peer.addr, to: guest, first: tap, next: leaves})
		}
	}
	if has(uplink) && f.peer.from.IsValid() {
		all = append(all, &journey{trip: &f.control, from: f.peer.from, to: f.peer.addr, first: uplink, answered: true})
	}
	f.run(ctx, w, s, all...)
	// A question that came a moment ago, as they do while a guest gets to know its
	// network, has its answer a moment later.
	w.until(ctx, f.Patience, f.allAnswered)
	f.readARP(w.all())
	return nil
}

// allAnswered tells whether this host has answered all ARP questions so far.
func (f *facts) allAnswered(seen []sighting) bool {
	now := facts{cfg: f.cfg}
	now.readARP(seen)
	return (!now.peerAsked || now.peerAnswered) && !slices.ContainsFunc(now.questions, func(q question) bool { return !q.answered })
}

// run sends packets, again where nothing was seen, until all is seen or the
// patience is over.
func (f *facts) run(ctx context.Context, w *watch, s sender, all ...*journey) {
	for _, j := range all {
		j.tag, j.trip.tried = newTag(), true
	}
	for range rounds {
		pending := false
		for _, j := range all {
			if j.complete(w.all()) {
				continue
			}
			pending = true
			if j.sent.IsZero() {
				j.sent = time.Now()
			}
			j.trip.sendErr = s.send(j.from, j.to, j.tag)
		}
		if !pending || w.until(ctx, f.Patience/rounds, func(seen []sighting) bool {
			return !slices.ContainsFunc(all, func(j *journey) bool { return !j.complete(seen) })
		}) {
			break
		}
	}
	for _, j := range all {
		j.read(w.all())
	}
}

// complete tells whether all was seen that is to be. Each socket is read by a
// goroutine of its own: what passed last may be seen first.
func (j *journey) complete(seen []sighting) bool {
	return j.saw(seen, j.first, true, false) && j.saw(seen, j.first, false, true) &&
		(j.answered || j.saw(seen, j.next, j.next != "", true))
}

func (j *journey) saw(seen []sighting, dev string, out, reply bool) bool {
	return slices.ContainsFunc(seen, func(s sighting) bool { return j.is(s, dev, out, reply) })
}

func (j *journey) is(s sighting, dev string, out, reply bool) bool {
	return s.arp == nil && s.tag == j.tag && s.dev == dev && s.out == out && s.reply == reply
}

// read makes of what was seen what became of the packet.
func (j *journey) read(seen []sighting) {
	t := j.trip
	t.left = j.saw(seen, j.first, true, false)
	t.entered = j.saw(seen, j.first, false, true)
	t.passed = !j.answered && j.saw(seen, j.next, j.next != "", true)
	if t.left || t.entered {
		t.sendErr = nil // one of several went through
	}
	for _, s := range seen {
		if j.is(s, j.first, false, true) {
			t.took = s.when.Sub(j.sent)
			break
		}
	}
}

// readARP finds the guest's questions on the tap, and those for the guest on the
// uplink, with their answers.
func (f *facts) readARP(seen []sighting) {
	asked := map[netip.Addr]bool{}
	answered := map[netip.Addr]bool{}
	var order []netip.Addr
	for _, s := range seen {
		switch {
		case s.arp == nil:
		case s.dev == f.cfg.Tap && !s.out && s.arp.Op == arp.Request && s.arp.SenderAddr == f.cfg.Address:
			if addr := s.arp.TargetAddr; addr != f.cfg.Address && !asked[addr] {
				asked[addr], order = true, append(order, addr)
			}
		case s.dev == f.cfg.Tap && s.out && s.arp.Op == arp.Reply:
			answered[s.arp.SenderAddr] = true
		case s.dev != f.cfg.Uplink:
		case !s.out && s.arp.Op == arp.Request && s.arp.TargetAddr == f.cfg.Address && s.arp.SenderAddr != f.cfg.Address:
			f.peerAsked = true
		case s.out && s.arp.Op == arp.Reply && s.arp.SenderAddr == f.cfg.Address:
			f.peerAnswered = true
		}
	}
	for _, addr := range order {
		f.questions = append(f.questions, question{addr, answered[addr]})
	}
}
