package arp

import (
	"bytes"
	"encoding/hex"
	"errors"
	"net"
	"net/netip"
	"strings"
	"testing"
)

var (
	hostMAC  = net.HardwareAddr{0x02, 0, 0, 0, 0, 1}
	guestMAC = net.HardwareAddr{0x52, 0x54, 10, 254, 254, 7}

	gateway = netip.MustParseAddr("10.254.254.1")
	guest   = netip.MustParseAddr("10.254.254.7")
)

// golden frames are written field by field: Ethernet, types and lengths,
// operation, sender, target.
var golden = map[string]struct {
	packet Packet
	frame  string
}{
	"request": {
		question(hostMAC, gateway, guest),
		"ffffffffffff 020000000001 0806 0001080006040001 020000000001 0afefe01 000000000000 0afefe07",
	},
	"probe": {
		question(hostMAC, netip.IPv4Unspecified(), guest),
		"ffffffffffff 020000000001 0806 0001080006040001 020000000001 00000000 000000000000 0afefe07",
	},
	"announcement as a request": {
		announcements(hostMAC, guest)[0],
		"ffffffffffff 020000000001 0806 0001080006040001 020000000001 0afefe07 000000000000 0afefe07",
	},
	"announcement as a reply": {
		announcements(hostMAC, guest)[1],
		"ffffffffffff 020000000001 0806 0001080006040002 020000000001 0afefe07 020000000001 0afefe07",
	},
	"reply": {
		Packet{Destination: hostMAC, Source: guestMAC, Op: Reply, SenderMAC: guestMAC, SenderAddr: guest, TargetMAC: hostMAC, TargetAddr: gateway},
		"020000000001 52540afefe07 0806 0001080006040002 52540afefe07 0afefe07 020000000001 0afefe01",
	},
}

func unhex(t testing.TB, s string) []byte {
	t.Helper()
	b, err := hex.DecodeString(strings.ReplaceAll(s, " ", ""))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func TestMarshalAndParse(t *testing.T) {
	for name, g := range golden {
		t.Run(name, func(t *testing.T) {
			frame := unhex(t, g.frame)
			if got := g.packet.Marshal(); !bytes.Equal(got, frame) {
				t.Errorf("Marshal:\n got %x\nwant %x", got, frame)
			}
			padded := append(frame, make([]byte, 18)...)
			for _, f := range [][]byte{frame, padded} {
				got, err := Parse(f)
				if err != nil {
					t.Fatal(err)
				}
				if !bytes.Equal(got.Marshal(), frame) {
					t.Errorf("Parse of %d bytes: got %+v, want %+v", len(f), got, g.packet)
				}
			}
		})
	}
}

func TestParseRefuses(t *testing.T) {
	whole := golden["request"].packet.Marshal()
	change := func(offset int, value byte) []byte {
		frame := bytes.Clone(whole)
		frame[offset] = value
		return frame
	}
	for name, frame := range map[string][]byte{
		"nothing":                nil,
		"an Ethernet header":     whole[:14],
		"one byte too few":       whole[:41],
		"IPv4":                   change(13, 0x00),
		"another hardware":       change(15, 6),
		"another protocol":       change(16, 0x86),
		"a long hardware length": change(18, 20),
		"a long protocol length": change(19, 16),
	} {
		if _, err := Parse(frame); !errors.Is(err, ErrNotARP) {
			t.Errorf("%s: error %v, want ErrNotARP", name, err)
		}
	}
}

func TestConflicts(t *testing.T) {
	other := netip.MustParseAddr("10.254.254.9")
	for name, c := range map[string]struct {
		packet Packet
		want   bool
	}{
		"an answer":                   {golden["reply"].packet, true},
		"a request by the owner":      {question(guestMAC, guest, other), true},
		"another's probe":             {question(guestMAC, netip.IPv4Unspecified(), guest), true},
		"our own probe":               {question(hostMAC, netip.IPv4Unspecified(), guest), false},
		"a question after it":         {question(guestMAC, other, guest), false},
		"a probe for another address": {question(guestMAC, netip.IPv4Unspecified(), other), false},
	} {
		if got := conflicts(c.packet, hostMAC, guest); got != c.want {
			t.Errorf("%s: conflicts = %v, want %v", name, got, c.want)
		}
	}
}

func FuzzParse(f *testing.F) {
	for _, g := range golden {
		frame := g.packet.Marshal()
		f.Add(frame)
		f.Add(frame[:len(frame)-1])
		f.Add(append(frame, 1, 2, 3))
	}
	f.Add([]byte(nil))
	f.Add(bytes.Repeat([]byte{0xff}, frameLength))
	f.Fuzz(func(t *testing.T, frame []byte) {
		p, err := Parse(frame)
		if err != nil {
			return
		}
		if got := p.Marshal(); !bytes.Equal(got, frame[:frameLength]) {
			t.Errorf("read and written again:\n got %x\nfrom %x", got, frame)
		}
		if !conflicts(p, hostMAC, guest) {
			return
		}
		if bytes.Equal(p.SenderMAC, hostMAC) || p.SenderAddr != guest && p.TargetAddr != guest {
			t.Errorf("%+v is no rival of %s's", p, guest)
		}
		answer, err := Parse(refusal(p, hostMAC, guest).Marshal())
		if err != nil || !bytes.Equal(answer.SenderMAC, hostMAC) || answer.SenderAddr != guest || !bytes.Equal(answer.Destination, p.SenderMAC) {
			t.Errorf("%+v is answered by %+v, %v", p, answer, err)
		}
	})
}
