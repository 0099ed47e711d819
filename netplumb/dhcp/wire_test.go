package dhcp

import (
	"bytes"
	"context"
	"errors"
	"net"
	"net/netip"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/insomniacslk/dhcp/dhcpv4"
	"github.com/mdlayher/packet"
	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"kvmrun/netplumb/internal/nstest"
	"kvmrun/netplumb/internal/udpframe"
)

// wire is a hostile guest's hand on eth0: it sends and sees whole frames.
type wire struct {
	t    *testing.T
	conn *packet.Conn
}

func openWire(t *testing.T, guest *nstest.Namespace) wire {
	t.Helper()
	var conn *packet.Conn
	var err error
	guest.Do(func() {
		var link netlink.Link
		if link, err = netlink.LinkByName("eth0"); err == nil {
			conn, err = packet.Listen(&net.Interface{Index: link.Attrs().Index}, packet.Raw, unix.ETH_P_IP, nil)
		}
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	return wire{t, conn}
}

func (w wire) send(frame []byte) {
	w.t.Helper()
	if _, err := w.conn.WriteTo(frame, &packet.Addr{HardwareAddr: udpframe.Broadcast}); err != nil {
		w.t.Fatal(err)
	}
}

// reply waits for the server's next frame; nil if there is none in time.
func (w wire) reply(patience time.Duration) *dhcpv4.DHCPv4 {
	w.t.Helper()
	if err := w.conn.SetReadDeadline(time.Now().Add(patience)); err != nil {
		w.t.Fatal(err)
	}
	buffer := make([]byte, longestFrame)
	for {
		n, _, err := w.conn.ReadFrom(buffer)
		if errors.Is(err, os.ErrDeadlineExceeded) {
			return nil
		}
		if err != nil {
			w.t.Fatal(err)
		}
		if packet := buffer[udpframe.EthernetHeader:n]; n > 42 && packet[9] == udpframe.ProtocolUDP && bytes.Equal(packet[20:24], []byte{0, serverPort, 0, clientPort}) {
			m, err := dhcpv4.FromBytes(packet[udpframe.IPv4Header+udpframe.UDPHeader:])
			if err != nil {
				w.t.Fatalf("reply: %v", err)
			}
			return m
		}
	}
}

func frameFrom(t testing.TB, mac net.HardwareAddr, m *dhcpv4.DHCPv4) []byte {
	t.Helper()
	from := udpframe.Endpoint{MAC: mac, Addr: netip.IPv4Unspecified(), Port: clientPort}
	return udpframe.Build(from, udpframe.Endpoint{MAC: udpframe.Broadcast, Addr: netip.MustParseAddr("255.255.255.255"), Port: serverPort}, m.ToBytes())
}

// numbered is a DISCOVER that can be told from others by its reply.
func numbered(t testing.TB, n byte, changes ...dhcpv4.Modifier) *dhcpv4.DHCPv4 {
	t.Helper()
	return message(t, dhcpv4.MessageTypeDiscover, append(changes, dhcpv4.WithTransactionID(dhcpv4.TransactionID{0, 0, 0, n}))...)
}

// TestServeIsDeafToOthers sends what deserves no answer and then what does: the
// first answer has to be to the last.
func TestServeIsDeafToOthers(t *testing.T) {
	host, guest := nstest.New(t), nstest.New(t)
	nstest.JoinByVeth(t, host, guest, "tap0", guestMAC)
	serve(t, host, testConfig())
	w := openWire(t, guest)
	stranger := net.HardwareAddr{2, 0, 0, 0, 0, 9}
	good := frameFrom(t, guestMAC, numbered(t, 1))
	vlan := append(bytes.Clone(good[:12]), append([]byte{0x81, 0, 0, 5}, good[12:]...)...)
	for _, frame := range [][]byte{
		frameFrom(t, stranger, numbered(t, 1)),
		frameFrom(t, guestMAC, numbered(t, 1, dhcpv4.WithHwAddr(stranger))),
		frameFrom(t, stranger, numbered(t, 1, dhcpv4.WithHwAddr(stranger))),
		frameFrom(t, guestMAC, numbered(t, 1, dhcpv4.WithGatewayIP(net.IP{10, 0, 0, 1}))),
		vlan, changed(good, 20, 0x20), changed(good, 23, 6), changed(good, 37, 69), good[:60], good[:290],
		frameFrom(t, guestMAC, numbered(t, 2)),
	} {
		w.send(frame)
	}
	reply := w.reply(10 * time.Second)
	if reply == nil || reply.TransactionID != (dhcpv4.TransactionID{0, 0, 0, 2}) {
		t.Errorf("answered %v", reply)
	}
	if more := w.reply(50 * time.Millisecond); more != nil {
		t.Errorf("answered %v too", more)
	}
}

func TestAStrangerGetsNoLease(t *testing.T) {
	host, guest := nstest.New(t), nstest.New(t)
	nstest.JoinByVeth(t, host, guest, "tap0", guestMAC)
	guest.Run(t, "ip link set eth0 address 52:54:00:00:00:99")
	serve(t, host, testConfig())
	if told, err := udhcpc(t, guest, "-t", "1"); err == nil {
		t.Errorf("a stranger was told %v", told)
	}
}

// TestNothingIsLostBeforeServe sends between Listen and Serve.
func TestNothingIsLostBeforeServe(t *testing.T) {
	host, guest := nstest.New(t), nstest.New(t)
	nstest.JoinByVeth(t, host, guest, "tap0", guestMAC)
	var s *Server
	var err error
	host.Do(func() { s, err = Listen(testConfig()) })
	if err != nil {
		t.Fatal(err)
	}
	w := openWire(t, guest)
	w.send(requestFrame(t))
	if early := w.reply(50 * time.Millisecond); early != nil {
		t.Fatalf("answered before Serve: %v", early)
	}
	ended := make(chan error, 1)
	go func() { ended <- s.Serve(t.Context()) }()
	if w.reply(10*time.Second) == nil {
		t.Error("what was sent before Serve is not answered")
	}
	if err := s.Close(); err != nil {
		t.Error(err)
	}
	if err := <-ended; err != nil {
		t.Errorf("Serve after Close: %v", err)
	}
	if err := s.Close(); err != nil {
		t.Errorf("second Close: %v", err)
	}
}

// TestAFloodIsBounded asks as fast as it can and counts the answers; then the
// guest is served again. A request costs nothing before its turn, and every turn
// is one answer.
func TestAFloodIsBounded(t *testing.T) {
	host, guest := nstest.New(t), nstest.New(t)
	nstest.JoinByVeth(t, host, guest, "tap0", guestMAC)
	_, events, _ := serve(t, host, testConfig())
	w := openWire(t, guest)
	frame := requestFrame(t)
	flood := 400 * requests.Burst
	sent, start := 0, time.Now()
	for ; sent < flood || len(events) < requests.Burst; sent++ {
		w.send(frame)
		if time.Since(start) > time.Minute {
			t.Fatalf("%d requests, and only %d are answered after a minute", sent, len(events))
		}
	}
	answered := len(events)
	took := time.Since(start)
	most := requests.Burst + int(took.Seconds()*float64(requests.PerSecond)) + 1
	t.Logf("%d requests in %v, %d answered, at most %d", sent, took, answered, most)
	if answered > most {
		t.Errorf("%d answers in %v, want %d at most", answered, took, most)
	}
	if _, err := udhcpc(t, guest, "-t", "10"); err != nil {
		t.Errorf("after the flood: %v", err)
	}
}

// TestServeOutlastsALinkThatIsDown takes the interface down and up, before
// Serve and while it waits.
func TestServeOutlastsALinkThatIsDown(t *testing.T) {
	host, guest := nstest.New(t), nstest.New(t)
	nstest.JoinByVeth(t, host, guest, "tap0", guestMAC)
	host.Run(t, "ip link set tap0 down")
	serve(t, host, testConfig())
	for range 3 {
		host.Run(t, "ip link set tap0 up")
		if _, err := udhcpc(t, guest, "-t", "5"); err != nil {
			t.Fatal(err)
		}
		host.Run(t, "ip link set tap0 down")
	}
}

// TestServeEndsWithItsTap closes a tap's last descriptor, as QEMU's end does.
func TestServeEndsWithItsTap(t *testing.T) {
	for name, prepare := range map[string]func(t *testing.T, host *nstest.Namespace, tap *os.File){
		"while it is up":       func(*testing.T, *nstest.Namespace, *os.File) {},
		"while it is down":     func(t *testing.T, host *nstest.Namespace, _ *os.File) { host.Run(t, "ip link set tap0 down") },
		"after it was renamed": func(t *testing.T, host *nstest.Namespace, _ *os.File) { host.Run(t, "ip link set tap0 name tap9") },
		"renamed while down":   func(t *testing.T, host *nstest.Namespace, _ *os.File) { host.Run(t, "ip link set tap0 down name tap9") },
		"by deletion, down": func(t *testing.T, host *nstest.Namespace, _ *os.File) {
			host.Run(t, "ip link set tap0 down")
			host.Run(t, "ip link del tap0")
		},
	} {
		t.Run(name, func(t *testing.T) {
			host := nstest.New(t)
			tap := openTap(t, host)
			host.Run(t, "ip link set tap0 up")
			_, _, ended := serve(t, host, testConfig())
			prepare(t, host, tap)
			if err := tap.Close(); err != nil {
				t.Fatal(err)
			}
			select {
			case err := <-ended:
				if err != nil {
					t.Errorf("Serve: %v", err)
				}
			case <-time.After(10 * time.Second):
				t.Error("Serve went on without its tap")
			}
		})
	}
}

// openTap makes a non-persistent tap called tap0.
func openTap(t *testing.T, ns *nstest.Namespace) *os.File {
	t.Helper()
	var file *os.File
	var err error
	ns.Do(func() {
		var fd int
		if fd, err = unix.Open("/dev/net/tun", unix.O_RDWR|unix.O_CLOEXEC, 0); err != nil {
			return
		}
		file = os.NewFile(uintptr(fd), "tap0")
		request, _ := unix.NewIfreq("tap0")
		request.SetUint16(unix.IFF_TAP | unix.IFF_NO_PI)
		err = unix.IoctlIfreq(fd, unix.TUNSETIFF, request)
	})
	if errors.Is(err, os.ErrNotExist) || errors.Is(err, syscall.EPERM) {
		t.Skipf("skipped: no tap can be made here: %v", err)
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = file.Close() })
	return file
}

func TestServeEndsWithItsContext(t *testing.T) {
	for _, link := range []string{"up", "down"} {
		host, guest := nstest.New(t), nstest.New(t)
		nstest.JoinByVeth(t, host, guest, "tap0", guestMAC)
		host.Run(t, "ip link set tap0 "+link)
		var s *Server
		var err error
		host.Do(func() { s, err = Listen(testConfig()) })
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan error, 1)
		go func() { ended <- s.Serve(ctx) }()
		cancel()
		select {
		case err := <-ended:
			if err != nil {
				t.Errorf("link %s: %v", link, err)
			}
		case <-time.After(10 * time.Second):
			t.Errorf("link %s: Serve went on after its context had ended", link)
		}
	}
}

func TestListenSaysWhatIsWrong(t *testing.T) {
	host := nstest.New(t)
	host.Do(func() {
		if _, err := Listen(testConfig()); err == nil || !strings.Contains(err.Error(), "tap0") {
			t.Errorf("without the interface: %v", err)
		}
		if _, err := Listen(Config{Interface: "lo"}); !errors.Is(err, ErrConfig) {
			t.Errorf("without an address: %v", err)
		}
	})
}
