package explain

import (
	"bytes"
	"net"
	"net/netip"
	"testing"

	"kvmrun/netplumb/arp"
)

// answered makes the answer to a request, as a machine would.
func answered(request []byte) []byte {
	reply := bytes.Clone(request)
	copy(reply[12:16], request[16:20])
	copy(reply[16:20], request[12:16])
	reply[ipv4Header] = 0
	return reply
}

func inFrame(packet []byte) []byte {
	return append([]byte{12: etherTypeIPv4 >> 8, 13: 0}, packet...)
}

func TestEchoIsKnownAgain(t *testing.T) {
	own := newTag()
	request, err := newEcho(router, guestAddr, own)
	if err != nil {
		t.Fatal(err)
	}
	options := bytes.Clone(request)
	options = append(options[:ipv4Header:ipv4Header], append(make([]byte, 4), options[ipv4Header:]...)...)
	options[0] = 0x46
	for name, c := range map[string]struct {
		packet []byte
		reply  bool
	}{"request": {request, false}, "reply": {answered(request), true}, "options": {options, false}} {
		got, reply, ok := parseEcho(c.packet)
		if !ok || reply != c.reply || got != own {
			t.Errorf("%s: %x, reply %v, %v", name, got, reply, ok)
		}
		s, ok := parseFrame("eth0", true, inFrame(c.packet))
		if !ok || s.reply != c.reply || s.tag != own || s.arp != nil || s.dev != "eth0" || !s.out {
			t.Errorf("%s in a frame: %+v, %v", name, s, ok)
		}
	}
	for length := range request {
		if _, _, ok := parseEcho(request[:length]); ok {
			t.Errorf("read from %d bytes of %d", length, len(request))
		}
	}
	unreachable := bytes.Clone(request)
	unreachable[ipv4Header] = 3
	if _, _, ok := parseEcho(unreachable); ok {
		t.Error("an error is taken for an echo")
	}
}

func FuzzParseFrame(f *testing.F) {
	request, err := newEcho(router, guestAddr, tag{1, 2, 3})
	if err != nil {
		f.Fatal(err)
	}
	f.Add(inFrame(request))
	f.Add(inFrame(answered(request))[:50])
	f.Add(arpFrame(arp.Request, guestAddr, router).Marshal())
	f.Add([]byte{12: 8, 13: 6})
	f.Fuzz(func(t *testing.T, frame []byte) {
		before := bytes.Clone(frame)
		s, ok := parseFrame("eth0", false, frame)
		if !bytes.Equal(frame, before) {
			t.Error("the frame was changed")
		}
		if ok && s.arp == nil && len(frame) < ethernetHeader+ipv4Header+icmpHeader+len(s.tag) {
			t.Errorf("a whole echo in %d bytes", len(frame))
		}
	})
}

func arpFrame(op arp.Op, sender, target netip.Addr) arp.Packet {
	mac := net.HardwareAddr{2, 0, 0, 0, 0, 9}
	return arp.Packet{Destination: mac, Source: mac, Op: op, SenderMAC: mac, SenderAddr: sender, TargetMAC: mac, TargetAddr: target}
}

func saw(dev string, out bool, op arp.Op, sender, target netip.Addr) sighting {
	p := arpFrame(op, sender, target)
	return sighting{dev: dev, out: out, arp: &p}
}

func TestReadARP(t *testing.T) {
	gateway := netip.MustParseAddr("10.254.254.1")
	f := sound(false)
	f.readARP([]sighting{
		saw("kr-web", true, arp.Request, gateway, guestAddr), // the host's own
		saw("kr-web", false, arp.Reply, guestAddr, gateway),
		saw("kr-web", false, arp.Request, guestAddr, guestAddr), // an announcement
		saw("kr-web", false, arp.Request, guestAddr, gateway),
		saw("kr-web", false, arp.Request, guestAddr, router),
		saw("kr-web", false, arp.Request, guestAddr, router),
		saw("kr-web", true, arp.Reply, gateway, guestAddr),
		saw("eth0", false, arp.Request, router, hostAddr),
	})
	if want := []question{{gateway, true}, {router, false}}; len(f.questions) != 2 || f.questions[0] != want[0] || f.questions[1] != want[1] {
		t.Errorf("the guest's questions are %+v, want %+v", f.questions, want)
	}
	if f.peerAsked || f.peerAnswered {
		t.Error("nobody on the LAN asked for the guest")
	}
	f.readARP([]sighting{saw("eth0", false, arp.Request, router, guestAddr)})
	if !f.peerAsked || f.peerAnswered {
		t.Errorf("asked %v, answered %v", f.peerAsked, f.peerAnswered)
	}
	f.readARP([]sighting{saw("eth0", true, arp.Reply, guestAddr, router)})
	if !f.peerAnswered {
		t.Error("the answer was not seen")
	}
}

// Questions whose answers are still to come are waited for.
func TestAnswersAreAwaited(t *testing.T) {
	gateway := netip.MustParseAddr("10.254.254.1")
	guests, lans := saw("kr-web", false, arp.Request, guestAddr, gateway), saw("eth0", false, arp.Request, router, guestAddr)
	f := sound(false)
	for _, c := range []struct {
		seen []sighting
		want bool
	}{
		{nil, true}, {[]sighting{guests}, false}, {[]sighting{lans}, false},
		{[]sighting{guests, saw("kr-web", true, arp.Reply, gateway, guestAddr)}, true},
		{[]sighting{lans, saw("eth0", true, arp.Reply, guestAddr, router)}, true},
	} {
		if got := f.allAnswered(c.seen); got != c.want {
			t.Errorf("%+v: %v", c.seen, got)
		}
	}
}

// A packet is followed by what was seen where, with nobody else's taken for it.
func TestJourney(t *testing.T) {
	own, other := newTag(), newTag()
	steps := []sighting{
		{dev: "eth0", out: true, tag: own}, {dev: "eth0", tag: own, reply: true}, {dev: "kr-web", out: true, tag: own, reply: true},
	}
	for n := range len(steps) + 1 {
		var tr trip
		j := journey{trip: &tr, tag: own, first: "eth0", next: "kr-web"}
		seen := append([]sighting{
			{dev: "eth0", out: true, tag: other}, {dev: "eth0", tag: other, reply: true}, {dev: "kr-web", out: true, tag: other, reply: true},
			{dev: "kr-web", tag: own, reply: true}, saw("kr-web", true, arp.Reply, router, guestAddr),
		}, steps[:n]...)
		j.read(seen)
		if tr.left != (n > 0) || tr.entered != (n > 1) || tr.passed != (n > 2) || j.complete(seen) != (n > 2) {
			t.Errorf("after %d steps: %+v, complete %v", n, tr, j.complete(seen))
		}
	}
}
