package e2e

import (
	"bytes"
	"fmt"
	"net"
	"net/netip"
	"testing"
	"time"

	"github.com/mdlayher/packet"
	"golang.org/x/sys/unix"

	"kvmrun/netplumb/arp"
	"kvmrun/tests/lab"
)

// arpWire speaks ARP by hand on a machine's eth0, and hears all of it there.
type arpWire struct {
	*packet.Conn
	mac net.HardwareAddr
}

func listenARP(t *testing.T, w *lab.World) *arpWire {
	t.Helper()
	wire := new(arpWire)
	err := w.InNet(func() error {
		eth0, err := net.InterfaceByName("eth0")
		if err != nil {
			return err
		}
		wire.mac = eth0.HardwareAddr
		wire.Conn, err = packet.Listen(eth0, packet.Raw, unix.ETH_P_ARP, nil)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = wire.Close() })
	return wire
}

// macOf is the MAC of a machine's eth0.
func macOf(t *testing.T, w *lab.World) string {
	t.Helper()
	return ip[struct{ Address string }](t, w, "link", "show", "dev", "eth0")[0].Address
}

var (
	everybody = net.HardwareAddr{0xff, 0xff, 0xff, 0xff, 0xff, 0xff}
	unknown   = make(net.HardwareAddr, 6)
)

// ask asks everybody who has an address, in the name of another. An address
// that asks for itself is announced.
func (w *arpWire) ask(t *testing.T, from, address string) {
	t.Helper()
	request := arp.Packet{
		Destination: everybody, Source: w.mac, Op: arp.Request,
		SenderMAC: w.mac, SenderAddr: netip.MustParseAddr(from),
		TargetMAC: unknown, TargetAddr: netip.MustParseAddr(address),
	}
	if _, err := w.WriteTo(request.Marshal(), &packet.Addr{HardwareAddr: everybody}); err != nil {
		t.Fatal(err)
	}
}

// hear waits for the first packet that fits, and returns all that came until
// then, this one last.
func (w *arpWire) hear(t *testing.T, what string, fits func(arp.Packet) bool) []arp.Packet {
	t.Helper()
	if err := w.SetReadDeadline(time.Now().Add(patience)); err != nil {
		t.Fatal(err)
	}
	var all []arp.Packet
	for {
		frame := make([]byte, 1514)
		n, _, err := w.ReadFrom(frame)
		if err != nil {
			t.Fatalf("%s is not heard: %v; but %s", what, err, fmt.Sprint(all))
		}
		p, err := arp.Parse(frame[:n])
		if err != nil {
			continue
		}
		all = append(all, p)
		if fits(p) {
			return all
		}
	}
}

// isProbe tells a probe for an address.
func isProbe(address string) func(arp.Packet) bool {
	return func(p arp.Packet) bool {
		return p.Op == arp.Request && p.SenderAddr.IsUnspecified() && p.TargetAddr.String() == address
	}
}

// isAnnouncement tells an announcement of an address in the form of a request.
func isAnnouncement(address string) func(arp.Packet) bool {
	return func(p arp.Packet) bool {
		return p.Op == arp.Request && p.SenderAddr == p.TargetAddr && p.SenderAddr.String() == address
	}
}

// isAnswer tells somebody's answer to this machine.
func (w *arpWire) isAnswer(address string) func(arp.Packet) bool {
	return func(p arp.Packet) bool {
		return p.Op == arp.Reply && p.SenderAddr.String() == address && bytes.Equal(p.TargetMAC, w.mac)
	}
}
