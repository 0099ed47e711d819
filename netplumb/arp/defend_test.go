package arp

import (
	"bytes"
	"context"
	"errors"
	"net"
	"net/netip"
	"os/exec"
	"strings"
	"testing"
	"time"

	"kvmrun/netplumb/internal/nstest"
)

// rivalMAC is that of the peer's interface in lan, so that it hears answers.
var rivalMAC = guestMAC

// defended is a LAN in which tap0 of host defends the guest's address.
type defended struct {
	host, peer *nstest.Namespace
	hostMAC    net.HardwareAddr
	wire       *socket // on the peer's side; hears what is about the address
	claims     chan net.HardwareAddr
	ended      chan error
	cancel     context.CancelCauseFunc
}

func defend(t *testing.T, interval time.Duration) *defended {
	t.Helper()
	d := &defended{claims: make(chan net.HardwareAddr, 10_000), ended: make(chan error, 1)}
	d.host, d.peer = lan(t)
	var s *socket
	var err1, err2 error
	d.host.Do(func() { s, err1 = open(t.Context(), "tap0", passClaims(guest)) })
	d.peer.Do(func() { d.wire, err2 = open(t.Context(), "eth0", passAbout(guest)) })
	if err := errors.Join(err1, err2); err != nil {
		t.Fatal(err)
	}
	d.hostMAC = s.mac
	ctx, cancel := context.WithCancelCause(t.Context())
	d.cancel = cancel
	context.AfterFunc(ctx, s.close)
	guard := defence{socket: s, addr: guest, interval: interval, claimed: func(rival net.HardwareAddr) { d.claims <- rival }}
	go func() { d.ended <- cause(ctx, guard.run(ctx)) }()
	return d
}

// say sends packets from the peer.
func (d *defended) say(t *testing.T, packets ...Packet) {
	t.Helper()
	for _, p := range packets {
		if err := d.wire.send(p); err != nil {
			t.Fatal(err)
		}
	}
}

// hear is the next packet about the address that the peer gets.
func (d *defended) hear(t *testing.T) Packet {
	t.Helper()
	if err := d.wire.conn.SetReadDeadline(time.Now().Add(5 * time.Second)); err != nil {
		t.Fatal(err)
	}
	p, err := d.wire.receive(make([]byte, frameLength))
	if err != nil {
		t.Fatalf("nothing is heard: %v", err)
	}
	return p
}

// hearRefusal has the peer probe, and wants the refusal to be the next that it
// hears: nothing was said before.
func (d *defended) hearRefusal(t *testing.T) {
	t.Helper()
	probe := question(rivalMAC, netip.IPv4Unspecified(), guest)
	d.say(t, probe)
	want := refusal(probe, d.hostMAC, guest)
	if got := d.hear(t); !bytes.Equal(got.Marshal(), want.Marshal()) {
		t.Fatalf("heard %+v, want the refusal %+v", got, want)
	}
}

// refuses has the peer probe until it is refused.
func (d *defended) refuses(t *testing.T) {
	t.Helper()
	awaitRunning(t, d.peer, "eth0")
	patient := Timing{Probes: 100, Least: 100 * time.Millisecond, Most: 100 * time.Millisecond}
	d.peer.Do(func() {
		if rival, err := patient.Probe(t.Context(), "eth0", guest); err != nil || !bytes.Equal(rival, d.hostMAC) {
			t.Errorf("Probe = %v, %v; want %v", rival, err, d.hostMAC)
		}
	})
}

func (d *defended) hearAnnouncement(t *testing.T) {
	t.Helper()
	want := question(d.hostMAC, guest, guest)
	if got := d.hear(t); !bytes.Equal(got.Marshal(), want.Marshal()) {
		t.Fatalf("heard %+v, want the announcement %+v", got, want)
	}
}

// TestNewcomersAreRefused has our own probe and another's find out that the
// address is taken.
func TestNewcomersAreRefused(t *testing.T) {
	d := defend(t, DefendInterval)
	d.hearRefusal(t)
	d.refuses(t)
	busybox, err := exec.LookPath("busybox")
	if err != nil {
		t.Skip("skipped in part: busybox, whose arping this test runs, is not installed")
	}
	for addr, taken := range map[netip.Addr]bool{guest: true, gateway: false} {
		var out []byte
		d.peer.Do(func() {
			out, err = exec.Command(busybox, "arping", "-D", "-f", "-c", "2", "-w", "2", "-I", "eth0", addr.String()).CombinedOutput()
		})
		if heard := strings.Contains(string(out), "Received 1 response"); heard != taken {
			t.Errorf("%v: taken %v, want %v (%v)\n%s", addr, heard, taken, err, out)
		}
	}
	if len(d.claims) > 0 {
		t.Errorf("who only asks counts as a rival: %v", <-d.claims)
	}
}

// TestClaims has a rival claim the address in every way there is.
func TestClaims(t *testing.T) {
	d := defend(t, time.Hour)
	elsewhere := netip.MustParseAddr("10.254.254.9")
	claims := append(announcements(rivalMAC, guest),
		question(rivalMAC, guest, gateway),
		Packet{Destination: broadcast, Source: rivalMAC, Op: Reply, SenderMAC: rivalMAC, SenderAddr: guest, TargetMAC: nobody, TargetAddr: elsewhere})
	for i, p := range claims {
		d.say(t, p)
		select {
		case rival := <-d.claims:
			if !bytes.Equal(rival, rivalMAC) {
				t.Errorf("claim %d is %v's, want %v's", i, rival, rivalMAC)
			}
		case <-time.After(5 * time.Second):
			t.Fatalf("claim %d is not told", i)
		}
	}
	// All of them within the interval: one announcement, and no more.
	d.hearAnnouncement(t)
	d.hearRefusal(t)
}

func TestDefencesAfterTheInterval(t *testing.T) {
	d := defend(t, 0)
	for range 3 {
		d.say(t, question(rivalMAC, guest, guest))
		d.hearAnnouncement(t)
	}
}

// TestHostIsNoRivalToItself says what the host itself might, also after its MAC
// was changed, and what is nobody's claim.
func TestHostIsNoRivalToItself(t *testing.T) {
	d := defend(t, 0)
	own := append(announcements(d.hostMAC, guest), question(d.hostMAC, netip.IPv4Unspecified(), guest))
	others := []Packet{
		question(rivalMAC, gateway, guest), // the kernel answers it, where there is a proxy entry
		question(rivalMAC, netip.IPv4Unspecified(), gateway),
		question(rivalMAC, gateway, gateway),
	}
	d.say(t, append(own, others...)...)
	d.hearRefusal(t)
	d.hostMAC = net.HardwareAddr{0x02, 0, 0, 0, 0, 0x77}
	d.host.Run(t, "ip link set tap0 address "+d.hostMAC.String())
	d.say(t, announcements(d.hostMAC, guest)...)
	d.hearRefusal(t)
	if len(d.claims) > 0 {
		t.Errorf("a conflict with %v", <-d.claims)
	}
}

func TestDefenceOutlastsALinkThatIsDown(t *testing.T) {
	d := defend(t, DefendInterval)
	for range 2 {
		d.host.Run(t, "ip link set tap0 down")
		d.host.Run(t, "ip link set tap0 up")
		d.refuses(t)
		d.peer.Run(t, "ip link set eth0 down")
		d.peer.Run(t, "ip link set eth0 up")
		d.refuses(t)
	}
}

func TestDefenceEnds(t *testing.T) {
	over := errors.New("the VM is gone")
	for name, c := range map[string]struct {
		end  func(*testing.T, *defended)
		want error
	}{
		"with its context":                  {func(_ *testing.T, d *defended) { d.cancel(over) }, over},
		"with its interface":                {func(t *testing.T, d *defended) { d.host.Run(t, "ip link del tap0") }, ErrGone},
		"with its interface, which is down": {func(t *testing.T, d *defended) { d.host.Shell(t, "ip link set tap0 down; ip link del tap0") }, ErrGone},
	} {
		t.Run(name, func(t *testing.T) {
			d := defend(t, DefendInterval)
			d.hearRefusal(t)
			c.end(t, d)
			select {
			case err := <-d.ended:
				if !errors.Is(err, c.want) {
					t.Errorf("error %v, want %v", err, c.want)
				}
			case <-time.After(5 * time.Second):
				t.Error("the defence goes on")
			}
		})
	}
}

// TestAFloodOfClaimsIsBounded claims as fast as it can, and counts how often
// that is heard.
func TestAFloodOfClaimsIsBounded(t *testing.T) {
	d := defend(t, DefendInterval)
	flood, start := 200*heard.Burst, time.Now()
	claim := question(rivalMAC, guest, guest)
	for range flood {
		d.say(t, claim)
	}
	took := time.Since(start)
	d.hearAnnouncement(t)
	told := len(d.claims)
	if most := heard.Burst + int(time.Since(start).Seconds()*float64(heard.PerSecond)) + 1; told > most {
		t.Errorf("%d of %d claims in %v are told, want %d at most", told, flood, took, most)
	}
	// What the kernel had kept is worked off; then newcomers are heard again.
	d.refuses(t)
}

func TestNobodyToAsk(t *testing.T) {
	host, peer := lan(t)
	host.Run(t, "ip link set lo up")
	peer.Run(t, "ip link set eth0 down")
	eventually(t, func() bool { return strings.Contains(host.Run(t, "ip -o link show tap0"), "NO-CARRIER") },
		func() string { return host.Run(t, "ip -o link show tap0") })
	ask := func(ifname string) (err error) {
		host.Do(func() { _, err = Probe(t.Context(), ifname, guest) })
		return err
	}
	if err := ask("tap0"); !errors.Is(err, ErrDown) {
		t.Errorf("without a carrier: %v", err)
	}
	host.Run(t, "ip link set tap0 down")
	if err := ask("tap0"); !errors.Is(err, ErrDown) {
		t.Errorf("down: %v", err)
	}
	peer.Run(t, "ip link set eth0 up")
	host.Run(t, "ip link set tap0 up arp off")
	if err := ask("tap0"); !errors.Is(err, ErrNoARP) {
		t.Errorf("without ARP: %v", err)
	}
	if err := ask("lo"); !errors.Is(err, ErrNoARP) {
		t.Errorf("loopback: %v", err)
	}
}
