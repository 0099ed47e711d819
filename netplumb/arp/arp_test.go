package arp

import (
	"bytes"
	"context"
	"errors"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/mdlayher/packet"
	"golang.org/x/sys/unix"

	"kvmrun/netplumb/internal/nstest"
)

// lan is two namespaces joined by a veth pair: tap0 in host, eth0 in peer.
func lan(t *testing.T) (host, peer *nstest.Namespace) {
	t.Helper()
	host, peer = nstest.New(t), nstest.New(t)
	nstest.JoinByVeth(t, host, peer, "tap0", guestMAC)
	awaitRunning(t, host, "tap0")
	awaitRunning(t, peer, "eth0")
	return host, peer
}

// awaitRunning waits until the kernel has noticed the carrier of an interface
// that was set up, somewhat later than it is told to.
func awaitRunning(t *testing.T, ns *nstest.Namespace, ifname string) {
	t.Helper()
	state := func() string { return ns.Run(t, "ip -o link show dev "+ifname) }
	eventually(t, func() bool { return strings.Contains(state(), "state UP") }, state)
}

func TestAnnounceCorrectsAPeersCache(t *testing.T) {
	host, peer := lan(t)
	peer.Run(t, "ip addr add 10.254.254.9/24 dev eth0")
	peer.Run(t, "ip neigh add 10.254.254.7 lladdr 02:00:00:00:00:99 dev eth0 nud stale")
	peer.Run(t, "ip neigh add 10.254.254.8 lladdr 02:00:00:00:00:99 dev eth0 nud reachable")
	mac := linkMAC(t, host, "tap0")

	host.Do(func() {
		if err := Announce(t.Context(), "tap0", guest, netip.MustParseAddr("10.254.254.8")); err != nil {
			t.Error(err)
		}
	})
	// The veth delivers before the send returns, or a moment after it.
	eventually(t, func() bool {
		table := peer.Run(t, "ip neigh show dev eth0")
		return strings.Count(table, "lladdr "+mac) == 2
	}, func() string { return peer.Run(t, "ip neigh show dev eth0") })
}

func linkMAC(t *testing.T, ns *nstest.Namespace, ifname string) string {
	t.Helper()
	words := strings.Fields(ns.Run(t, "ip -o link show dev "+ifname))
	return words[slices.Index(words, "link/ether")+1]
}

// eventually polls for a fact of the kernel's that gives no event.
func eventually(t *testing.T, ok func() bool, state func() string) {
	t.Helper()
	for deadline := time.Now().Add(5 * time.Second); !ok(); {
		if time.Now().After(deadline) {
			t.Fatalf("not so after 5s:\n%s", state())
		}
		time.Sleep(time.Millisecond)
	}
}

func TestProbeFindsARival(t *testing.T) {
	host, peer := lan(t)
	peer.Run(t, "ip addr add 10.254.254.7/24 dev eth0")
	// Only the rival's answer can end it before the context does.
	patient := Timing{Probes: 3, Least: time.Hour, Most: time.Hour, Listen: time.Hour}
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	host.Do(func() {
		rival, err := patient.Probe(ctx, "tap0", guest)
		if err != nil || rival.String() != guestMAC.String() {
			t.Errorf("Probe = %v, %v; want %v", rival, err, guestMAC)
		}
	})
	if table := peer.Run(t, "ip neigh show dev eth0"); strings.Contains(table, "lladdr") {
		t.Errorf("the probe left something in the peer's cache:\n%s", table)
	}
}

func TestProbeOfAFreeAddress(t *testing.T) {
	host, peer := lan(t)
	peer.Run(t, "ip addr add 10.254.254.9/24 dev eth0")
	timing := Timing{Probes: 3, Least: 10 * time.Millisecond, Most: 20 * time.Millisecond, Listen: 30 * time.Millisecond}
	host.Do(func() {
		start := time.Now()
		if rival, err := timing.Probe(t.Context(), "tap0", guest); rival != nil || err != nil {
			t.Errorf("Probe = %v, %v; want silence", rival, err)
		}
		if took := time.Since(start); took < 50*time.Millisecond {
			t.Errorf("Probe took %v, want 50 ms or more", took)
		}
	})
}

func TestProbesAgainstEachOther(t *testing.T) {
	host, peer := lan(t)
	found := make(chan string, 2)
	timing := Timing{Probes: 3, Least: 50 * time.Millisecond, Most: 100 * time.Millisecond, Listen: 100 * time.Millisecond}
	for ns, ifname := range map[*nstest.Namespace]string{host: "tap0", peer: "eth0"} {
		go ns.Do(func() {
			rival, err := timing.Probe(t.Context(), ifname, guest)
			if err != nil {
				t.Error(err)
			}
			found <- rival.String()
		})
	}
	if a, b := <-found, <-found; a == "" && b == "" {
		t.Error("two probed the same address at the same time and neither saw the other")
	}
}

func TestManyProbesSideBySide(t *testing.T) {
	host, peer := lan(t)
	peer.Run(t, "ip addr add 10.254.254.7/24 dev eth0")
	const many = 50
	timing := Timing{Probes: 2, Least: 50 * time.Millisecond, Most: 50 * time.Millisecond, Listen: 50 * time.Millisecond}
	type outcome struct {
		addr  netip.Addr
		taken bool
		err   error
	}
	outcomes := make(chan outcome, many)
	start := time.Now()
	host.Do(func() {
		// A socket stays in the namespace in which it was opened, so the
		// goroutines need only open theirs on this thread.
		for i := range many {
			addr := netip.AddrFrom4([4]byte{10, 254, 254, byte(i + 2)})
			s, err := open(t.Context(), "tap0", passAbout(addr))
			if err != nil {
				t.Error(err)
				return
			}
			go func() {
				defer s.close()
				rival, err := timing.probe(s, addr)
				outcomes <- outcome{addr, rival != nil, err}
			}()
		}
	})
	for range many {
		if o := <-outcomes; o.err != nil || o.taken != (o.addr == guest) {
			t.Errorf("%v: taken %v, error %v", o.addr, o.taken, o.err)
		}
	}
	t.Logf("%d probes of 100 ms each took %v", many, time.Since(start))
}

func TestAwaitReturnsWhenTheGuestAnswers(t *testing.T) {
	host, peer := lan(t)
	host.Run(t, "ip addr add 10.254.254.1/32 dev tap0")
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	ended := make(chan error, 1)
	go host.Do(func() { ended <- Await(ctx, "tap0", guestMAC, guest, gateway) })
	select {
	case err := <-ended:
		t.Fatalf("Await returned before the guest had its address: %v", err)
	case <-time.After(100 * time.Millisecond):
	}
	peer.Run(t, "ip addr add 10.254.254.7/24 dev eth0")
	if err := <-ended; err != nil {
		t.Error(err)
	}
}

// TestAwaitHearsTheGuestSpeak plays the guest by hand: a guest that says of its
// own accord that it has the address need not be asked, one that probes it or
// has another MAC has not taken it.
func TestAwaitHearsTheGuestSpeak(t *testing.T) {
	host, peer := lan(t)
	stranger := bytes.Clone(guestMAC)
	stranger[5] = 99
	var guestSide *socket
	var err error
	peer.Do(func() { guestSide, err = open(t.Context(), "eth0", passAbout(gateway)) })
	if err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go host.Do(func() { ended <- Await(t.Context(), "tap0", guestMAC, guest, gateway) })

	// Being asked shows that Await listens.
	buffer := make([]byte, frameLength)
	for range 2 {
		asked, err := guestSide.receive(buffer)
		if err != nil || asked.TargetAddr != guest || asked.SenderAddr != gateway {
			t.Fatalf("the guest was asked %+v, %v", asked, err)
		}
		for _, p := range []Packet{
			question(guestMAC, netip.IPv4Unspecified(), guest),
			question(stranger, guest, gateway),
			question(guestMAC, netip.MustParseAddr("10.254.254.8"), gateway),
		} {
			if err := guestSide.send(p); err != nil {
				t.Fatal(err)
			}
		}
	}
	// The third request is sent only if nothing of that ended the wait.
	if _, err := guestSide.receive(buffer); err != nil {
		t.Fatal(err)
	}
	if err := guestSide.send(announcements(guestMAC, guest)[0]); err != nil {
		t.Fatal(err)
	}
	if err := <-ended; err != nil {
		t.Fatal(err)
	}
}

// TestHearingIsPrompt gives a listener a minute, so that only the packet
// itself can end its wait soon.
func TestHearingIsPrompt(t *testing.T) {
	host, peer := lan(t)
	var listener, guestSide *socket
	var err1, err2 error
	host.Do(func() { listener, err1 = open(t.Context(), "tap0", passFrom(guest)) })
	peer.Do(func() { guestSide, err2 = open(t.Context(), "eth0", passNothing()) })
	if err := errors.Join(err1, err2); err != nil {
		t.Fatal(err)
	}
	time.AfterFunc(20*time.Millisecond, func() {
		if err := guestSide.send(announcements(guestMAC, guest)[0]); err != nil {
			t.Error(err)
		}
	})
	if heard, err := hear(listener, guestMAC, make([]byte, frameLength), time.Minute); !heard || err != nil {
		t.Errorf("heard %v, %v", heard, err)
	}
}

func TestAwaitEndsWithItsContext(t *testing.T) {
	host, _ := lan(t)
	gone := errors.New("the VM is gone")
	ctx, cancel := context.WithCancelCause(t.Context())
	ended := make(chan error, 1)
	go host.Do(func() { ended <- Await(ctx, "tap0", nil, guest, gateway) })
	cancel(gone)
	select {
	case err := <-ended:
		if !errors.Is(err, gone) {
			t.Errorf("error %v, want the context's cause", err)
		}
	case <-time.After(5 * time.Second):
		t.Error("Await went on after its context had ended")
	}
}

func TestAwaitOutlastsALinkThatIsDown(t *testing.T) {
	host, peer := lan(t)
	peer.Run(t, "ip addr add 10.254.254.7/24 dev eth0")
	host.Run(t, "ip link set tap0 down")
	var s *socket
	var err error
	host.Do(func() { s, err = open(t.Context(), "tap0", passFrom(guest)) })
	if err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- await(s, guestMAC, question(s.mac, gateway, guest)) }()
	select {
	case err := <-ended:
		t.Fatalf("await ended on a link that is down: %v", err)
	case <-time.After(100 * time.Millisecond):
	}
	host.Run(t, "ip link set tap0 up")
	select {
	case err := <-ended:
		if err != nil {
			t.Error(err)
		}
	case <-time.After(5 * time.Second):
		t.Error("await did not notice that the link is up again")
	}
}

func TestAwaitEndsWithTheInterface(t *testing.T) {
	host, _ := lan(t)
	var s *socket
	var err error
	host.Do(func() { s, err = open(t.Context(), "tap0", passFrom(guest)) })
	if err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- await(s, nil, question(s.mac, gateway, guest)) }()
	host.Run(t, "ip link del tap0")
	select {
	case err := <-ended:
		if !errors.Is(err, unix.ENXIO) {
			t.Errorf("error %v, want ENXIO", err)
		}
	case <-time.After(5 * time.Second):
		t.Error("await went on without an interface")
	}
}

// TestAnotherVLANIsDeaf sends a rival's announcement with a VLAN tag: the
// kernel hands it to sockets with the tag already taken off.
func TestAnotherVLANIsDeaf(t *testing.T) {
	host, peer := lan(t)
	var conn *packet.Conn
	peer.Do(func() {
		s, err := open(t.Context(), "eth0", passNothing())
		if err != nil {
			t.Error(err)
			return
		}
		conn = s.conn
	})
	if conn == nil {
		t.FailNow()
	}
	announcement := announcements(guestMAC, guest)[0].Marshal()
	tagged := append(bytes.Clone(announcement[:12]), append([]byte{0x81, 0x00, 0x00, 0x05}, announcement[12:]...)...)

	var s *socket
	var err error
	host.Do(func() { s, err = open(t.Context(), "tap0", passFrom(guest)) })
	if err != nil {
		t.Fatal(err)
	}
	defer s.close()
	for _, frame := range [][]byte{tagged, announcement} {
		if _, err := conn.WriteTo(frame, &packet.Addr{HardwareAddr: broadcast}); err != nil {
			t.Fatal(err)
		}
	}
	if heard, err := hear(s, nil, make([]byte, frameLength), 5*time.Second); !heard || err != nil {
		t.Fatalf("the untagged announcement: heard %v, %v", heard, err)
	}
	if heard, err := hear(s, nil, make([]byte, frameLength), 50*time.Millisecond); heard || err != nil {
		t.Errorf("heard a second one (%v, %v), which was in a VLAN", heard, err)
	}
}

func TestUnusableArguments(t *testing.T) {
	host, _ := lan(t)
	host.Run(t, "ip link set lo up")
	six := netip.MustParseAddr("2001:db8::1")
	host.Do(func() {
		if _, err := Probe(t.Context(), "tap0", six); !errors.Is(err, ErrAddress) {
			t.Errorf("Probe of IPv6: %v", err)
		}
		if err := Announce(t.Context(), "tap0", netip.Addr{}); !errors.Is(err, ErrAddress) {
			t.Errorf("Announce of no address: %v", err)
		}
		if err := Await(t.Context(), "tap0", nil, guest, six); !errors.Is(err, ErrAddress) {
			t.Errorf("Await from IPv6: %v", err)
		}
		if err := Announce(t.Context(), "lo", guest); err == nil {
			t.Error("Announce on the loopback interface returned no error")
		}
		if _, err := Probe(t.Context(), "nosuch", guest); err == nil {
			t.Error("Probe on an interface that is not there returned no error")
		}
	})
}
