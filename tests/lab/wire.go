package lab

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/vishvananda/netlink"
)

// wire joins the worlds by veth pairs and gives them addresses and routes.
func (l *Lab) wire(t testing.TB, cfg config) {
	t.Helper()
	for _, w := range append([]*World{l.Host, l.LAN}, l.Peers...) {
		// Duplicate-address detection would leave IPv6 addresses
		// tentative for a second, and snapshots unlike one another.
		w.batch(t, "link set lo up")
		w.sysctl(t, "net/ipv6/conf/default/accept_dad", "0")
	}
	if cfg.peers == 0 {
		l.join(t, "eth0", l.Host)
	} else {
		l.LAN.batch(t, "link add eth0 type bridge")
		for i, w := range append([]*World{l.Host}, l.Peers...) {
			l.plug(t, fmt.Sprintf("port%d", i), w)
		}
	}
	l.LAN.batch(t, "addr add "+LANAddress+"/24 dev eth0", "link set eth0 up")
	l.Host.batch(t, "addr add "+HostAddress+"/24 dev eth0", "link set eth0 up")
	for i, w := range l.Peers {
		w.batch(t, fmt.Sprintf("addr add 192.0.2.%d/24 dev eth0", i+2), "link set eth0 up")
	}
	for _, w := range append([]*World{l.Host, l.LAN}, l.Peers...) {
		w.waitCarrier(t)
	}
	if cfg.defaultRoute {
		l.Host.batch(t, "route add default via "+LANAddress)
	}
	if cfg.guestRoute {
		for _, w := range append([]*World{l.LAN}, l.Peers...) {
			w.batch(t, "route add "+GuestSubnet+" via "+HostAddress)
		}
	}
}

// HostPort is the port of the LAN's bridge that the host is plugged into, in a
// lab with [LANPeers].
const HostPort = "port0"

// Unplug takes the host's eth0 away, as if the card were pulled out, with its
// addresses and routes. The lab must have been made with [LANPeers].
func (l *Lab) Unplug(t testing.TB) {
	t.Helper()
	l.Host.batch(t, "link delete eth0")
}

// PlugIn gives the host another eth0 after [Lab.Unplug], with another number and
// MAC. It has no address yet, and is down.
func (l *Lab) PlugIn(t testing.TB) {
	t.Helper()
	l.plug(t, HostPort, l.Host)
}

// plug joins a world to a port of the LAN's bridge.
func (l *Lab) plug(t testing.TB, port string, w *World) {
	t.Helper()
	l.join(t, port, w)
	l.LAN.batch(t, "link set "+port+" master eth0 up")
}

// join makes a veth pair: one end called port in the LAN, the other called
// eth0 in w.
func (l *Lab) join(t testing.TB, port string, w *World) {
	t.Helper()
	veth := &netlink.Veth{
		LinkAttrs:     netlink.LinkAttrs{Name: port},
		PeerName:      "eth0",
		PeerNamespace: netlink.NsFd(int(w.netns.Fd())),
	}
	err := l.LAN.InNet(func() error {
		h, err := netlink.NewHandle()
		if err != nil {
			return err
		}
		defer h.Close()
		return h.LinkAdd(veth)
	})
	if err != nil {
		if errors.Is(err, netlink.ErrNotImplemented) {
			t.Skipf("lab: this kernel has no veth devices: %v", err)
		}
		t.Fatalf("lab: join %s to the LAN by a veth pair: %v", w.Name, err)
	}
}

// waitCarrier waits until eth0 is up for good: the kernel notices a veth's
// carrier, and adds the link-local address, somewhat later than it is told to.
func (w *World) waitCarrier(t testing.TB) {
	t.Helper()
	Eventually(t, 10*time.Second, func() error {
		state := w.MustRun(t, "sh", "-c", "ip -o link show dev eth0; ip -6 -o addr show dev eth0;"+
			" grep -s 0 /proc/sys/net/ipv6/conf/eth0/disable_ipv6 && echo wants IPv6; true")
		wantsIPv6 := strings.Contains(state, "wants IPv6")
		if !strings.Contains(state, "state UP") || strings.Contains(state, "tentative") ||
			wantsIPv6 && !strings.Contains(state, "fe80") {
			return fmt.Errorf("eth0 of %s is not up: %s", w.Name, state)
		}
		return nil
	})
}

// batch runs commands of ip(8) in one process and fails the test when one of
// them fails.
func (w *World) batch(t testing.TB, lines ...string) {
	t.Helper()
	r := w.RunWith(t, Run{Stdin: strings.NewReader(strings.Join(lines, "\n") + "\n")}, "ip", "-batch", "-")
	if r.ExitCode != 0 {
		t.Fatalf("lab: ip in %s: %s\n%s", w.Name, strings.Join(lines, "; "), r.Stderr)
	}
}

// sysctl sets a value below /proc/sys in the world; the slashes stay.
func (w *World) sysctl(t testing.TB, name, value string) {
	t.Helper()
	w.MustRun(t, "sh", "-c", `echo "$1" >"/proc/sys/$0"`, name, value)
}
