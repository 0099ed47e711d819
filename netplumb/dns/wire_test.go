package dns

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"golang.org/x/net/dns/dnsmessage"
	"golang.org/x/sys/unix"

	"kvmrun/netplumb/internal/nstest"
)

const patience = 10 * time.Second

var (
	guestMAC = net.HardwareAddr{0x52, 0x54, 10, 254, 254, 2}
	gateway  = netip.MustParseAddr("10.254.254.1")
	guestIP  = netip.MustParseAddr("10.254.254.2")
)

// book has fixed names.
type book map[string]string

func (b book) Address(name string) (netip.Addr, bool) {
	addr, ok := b[name]
	if !ok {
		return netip.Addr{}, false
	}
	return netip.MustParseAddr(addr), true
}

func (b book) Name(addr netip.Addr) (string, bool) {
	for name, at := range b {
		if at == addr.String() {
			return name, true
		}
	}
	return "", false
}

var names = book{"web": "10.254.254.3", "db": "10.254.254.4"}

// site is a host with a guest behind its tap.
type site struct{ host, guest *nstest.Namespace }

func newSite(t *testing.T) site {
	t.Helper()
	s := site{nstest.New(t), nstest.New(t)}
	nstest.JoinByVeth(t, s.host, s.guest, "tap0", guestMAC)
	s.host.Shell(t, "ip link set lo up; ip addr add 10.254.254.1/32 dev tap0; ip route add 10.254.254.2 dev tap0 src 10.254.254.1")
	s.guest.Shell(t, "ip addr add 10.254.254.2/24 dev eth0")
	return s
}

// serve runs a server that asks the given ones for the rest.
func (s site) serve(t *testing.T, upstreams ...netip.AddrPort) *Server {
	t.Helper()
	var server *Server
	var err error
	s.host.Do(func() {
		server, err = Listen(Config{
			Interface: "tap0", MAC: guestMAC, Guest: guestIP, Address: gateway, MTU: 1500,
			Names: names, Upstreams: func() []netip.AddrPort { return upstreams },
		})
	})
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan error, 1)
	go func() { done <- server.Serve(t.Context()) }()
	t.Cleanup(func() {
		if err := errors.Join(server.Close(), <-done); err != nil {
			t.Error(err)
		}
	})
	return server
}

// dial connects the guest to port 53 of its gateway.
func (s site) dial(t *testing.T, network string) net.Conn {
	t.Helper()
	var conn net.Conn
	var err error
	s.guest.Do(func() { conn, err = net.DialTimeout(network, gateway.String()+":53", patience) })
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	if err := conn.SetDeadline(time.Now().Add(patience)); err != nil {
		t.Fatal(err)
	}
	return conn
}

// ask sends a question and returns the answer.
func (s site) ask(t *testing.T, network, name string, kind dnsmessage.Type) []byte {
	t.Helper()
	conn, message := s.dial(t, network), question(t, name, kind, 0)
	defer func() { _ = conn.Close() }()
	if network == "tcp" {
		message = frame(message)
	}
	if _, err := conn.Write(message); err != nil {
		t.Fatal(err)
	}
	answer, err := receive(network, conn)
	if err != nil {
		t.Fatalf("%s by %s: %v", name, network, err)
	}
	return answer
}

func receive(network string, conn net.Conn) ([]byte, error) {
	if network == "tcp" {
		return readFramed(conn)
	}
	return readDatagram(conn)
}

// question is a query; a size is said by EDNS0.
func question(t testing.TB, name string, kind dnsmessage.Type, size int) []byte {
	t.Helper()
	b := dnsmessage.NewBuilder(nil, dnsmessage.Header{ID: 4711, RecursionDesired: true})
	err := errors.Join(b.StartQuestions(),
		b.Question(dnsmessage.Question{Name: dnsmessage.MustNewName(name), Type: kind, Class: dnsmessage.ClassINET}))
	if size > 0 {
		var opt dnsmessage.ResourceHeader
		err = errors.Join(err, b.StartAdditionals(), opt.SetEDNS0(size, dnsmessage.RCodeSuccess, false), b.OPTResource(opt, dnsmessage.OPTResource{}))
	}
	message, failed := b.Finish()
	if err != nil || failed != nil {
		t.Fatal(err, failed)
	}
	return message
}

// show is an answer in short: the ID, the code, and what it says.
func show(answer []byte) string {
	var m dnsmessage.Message
	if err := m.Unpack(answer); err != nil {
		return fmt.Sprintf("%v: %x", err, answer)
	}
	words := []string{fmt.Sprint(m.ID), strings.TrimPrefix(m.RCode.String(), "RCode")}
	if m.Truncated {
		words = append(words, "truncated")
	}
	for _, a := range m.Answers {
		switch body := a.Body.(type) {
		case *dnsmessage.AResource:
			words = append(words, netip.AddrFrom4(body.A).String())
		case *dnsmessage.PTRResource:
			words = append(words, body.PTR.String())
		case *dnsmessage.TXTResource:
			words = append(words, fmt.Sprintf("text of %d", len(strings.Join(body.TXT, ""))))
		}
	}
	return strings.Join(words, " ")
}

// server is another name server, of this host's or of the world's.
type otherServer struct {
	addr  netip.AddrPort
	asked atomic.Int32
	stop  func()
}

// startOther runs one on an address in the calling thread's namespace. It answers
// all questions by 203.0.113.7, and those for TXT by more than a datagram holds.
func startOther(t *testing.T, addr string) *otherServer {
	t.Helper()
	datagrams, err := net.ListenPacket("udp4", addr)
	if err != nil {
		t.Fatal(err)
	}
	o := &otherServer{addr: netip.MustParseAddrPort(datagrams.LocalAddr().String())}
	listener, err := net.Listen("tcp4", o.addr.String())
	if err != nil {
		t.Fatal(err)
	}
	o.stop = sync.OnceFunc(func() { _, _ = datagrams.Close(), listener.Close() })
	t.Cleanup(o.stop)
	go func() {
		buffer := make([]byte, readBuffer)
		for {
			n, from, err := datagrams.ReadFrom(buffer)
			if err != nil {
				return
			}
			o.asked.Add(1)
			_, _ = datagrams.WriteTo(theirs(buffer[:n]), from)
		}
	}()
	go func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			o.asked.Add(1)
			if m, err := readFramed(conn); err == nil {
				_, _ = conn.Write(frame(theirs(m)))
			}
			_ = conn.Close()
		}
	}()
	return o
}

// theirs is what another server answers.
func theirs(message []byte) []byte {
	var m dnsmessage.Message
	if m.Unpack(message) != nil || len(m.Questions) != 1 {
		return nil
	}
	m.Response = true
	head := dnsmessage.ResourceHeader{Name: m.Questions[0].Name, Class: dnsmessage.ClassINET, TTL: 60}
	m.Additionals = nil
	switch m.Questions[0].Type {
	case dnsmessage.TypeTXT:
		for range 20 {
			m.Answers = append(m.Answers, dnsmessage.Resource{Header: head, Body: &dnsmessage.TXTResource{TXT: []string{strings.Repeat("x", 100)}}})
		}
	case dnsmessage.TypeMX: // this one knows nothing of
		m.RCode = dnsmessage.RCodeServerFailure
	default:
		m.Answers = []dnsmessage.Resource{{Header: head, Body: &dnsmessage.AResource{A: [4]byte{203, 0, 113, 7}}}}
	}
	packed, _ := m.Pack()
	return packed
}

// TestAnswers asks, as a guest, for what is known here and for what is not, while
// somebody else has port 53 of the host, since before and since after.
func TestAnswers(t *testing.T) {
	world := startOther(t, "127.0.0.1:0")
	s := newSite(t)
	var before, after *otherServer
	s.host.Do(func() { before = startOther(t, "0.0.0.0:53") })
	server := s.serve(t, world.addr)
	for _, when := range []string{"another was first", "another came later"} {
		for _, network := range []string{"udp", "tcp"} {
			for _, c := range []struct {
				name string
				kind dnsmessage.Type
				want string
			}{
				{"web.", dnsmessage.TypeA, "4711 Success 10.254.254.3"},
				{"WEB.Kvmrun.Internal.", dnsmessage.TypeA, "4711 Success 10.254.254.3"},
				{"web.", dnsmessage.TypeAAAA, "4711 Success"},
				{"mail.kvmrun.internal.", dnsmessage.TypeA, "4711 NameError"},
				{"3.254.254.10.in-addr.arpa.", dnsmessage.TypePTR, "4711 Success web.kvmrun.internal."},
				{"example.org.", dnsmessage.TypeA, "4711 Success 203.0.113.7"},
				{"mail.", dnsmessage.TypeA, "4711 Success 203.0.113.7"},
				{"example.org.", dnsmessage.TypeMX, "4711 ServerFailure"},
			} {
				if got := show(s.ask(t, network, c.name, c.kind)); got != c.want {
					t.Errorf("%s, by %s: %s of type %v: %s, want %s", when, network, c.name, c.kind, got, c.want)
				}
			}
		}
		if got := show(s.ask(t, "udp", "long.example.", dnsmessage.TypeTXT)); got != "4711 Success truncated" {
			t.Errorf("a long answer by UDP: %s", got)
		}
		if got := show(s.ask(t, "tcp", "long.example.", dnsmessage.TypeTXT)); !strings.Contains(got, "text of 100") {
			t.Errorf("a long answer by TCP: %s", got)
		}
		before.stop()
		if after == nil {
			s.host.Do(func() { after = startOther(t, "0.0.0.0:53") })
		}
	}
	if n := before.asked.Load() + after.asked.Load(); n != 0 {
		t.Errorf("the host's own server was asked %d times", n)
	}

	// When nobody serves any more, the port is the other's.
	if err := server.Close(); err != nil {
		t.Fatal(err)
	}
	if got := show(s.ask(t, "udp", "web.", dnsmessage.TypeA)); got != "4711 Success 203.0.113.7" {
		t.Errorf("after the end: %s", got)
	}
	if got := show(s.ask(t, "tcp", "web.", dnsmessage.TypeA)); got != "4711 Success 203.0.113.7" {
		t.Errorf("after the end, by TCP: %s", got)
	}
	s.serve(t, world.addr) // in the place of the first
	if got := show(s.ask(t, "tcp", "db.", dnsmessage.TypeA)); got != "4711 Success 10.254.254.4" {
		t.Errorf("from the next server: %s", got)
	}
}

// TestAnotherIsAskedInstead has the first of two servers not be there, and none.
func TestAnotherIsAskedInstead(t *testing.T) {
	world, gone := startOther(t, "127.0.0.1:0"), startOther(t, "127.0.0.1:0")
	gone.stop()
	for want, servers := range map[string][]netip.AddrPort{
		"4711 Success 203.0.113.7": {gone.addr, world.addr},
		"4711 ServerFailure":       {},
	} {
		s := newSite(t)
		s.serve(t, servers...)
		if got := show(s.ask(t, "udp", "example.org.", dnsmessage.TypeA)); got != want {
			t.Errorf("with %v: %s, want %s", servers, got, want)
		}
		if got := show(s.ask(t, "udp", "web.", dnsmessage.TypeA)); got != "4711 Success 10.254.254.3" {
			t.Errorf("with %v a guest is not found: %s", servers, got)
		}
	}
}

// TestServeIsDeafToOthers sends what deserves no answer, and then what does.
func TestServeIsDeafToOthers(t *testing.T) {
	s := newSite(t)
	s.serve(t)
	s.guest.Run(t, "ip addr add 10.254.254.9/24 dev eth0")
	conn := s.dial(t, "udp")
	var stranger net.Conn
	var err error
	s.guest.Do(func() {
		dialer := net.Dialer{LocalAddr: &net.UDPAddr{IP: net.IP{10, 254, 254, 9}}}
		stranger, err = dialer.Dial("udp", gateway.String()+":53")
	})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = stranger.Close() }()
	good := question(t, "web.", dnsmessage.TypeA, 0)
	if _, err := stranger.Write(good); err != nil {
		t.Fatal(err)
	}
	answer := append([]byte(nil), good...)
	answer[2] |= 0x80
	for _, bad := range [][]byte{{}, good[:5], good[:len(good)-1], answer, append(good[:len(good):len(good)], 0xff)[:13]} {
		if _, err := conn.Write(bad); err != nil {
			t.Fatal(err)
		}
	}
	last := append([]byte(nil), good...)
	binary.BigEndian.PutUint16(last, 4712)
	if _, err := conn.Write(last); err != nil {
		t.Fatal(err)
	}
	got, err := readDatagram(conn)
	if err != nil || show(got) != "4712 Success 10.254.254.3" {
		t.Errorf("the first answer is %s, %v", show(got), err)
	}
	if err := stranger.SetReadDeadline(time.Now().Add(50 * time.Millisecond)); err != nil {
		t.Fatal(err)
	}
	if _, err := readDatagram(stranger); !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("somebody else's address was answered: %v", err)
	}
}

// TestConnectionsAreBounded opens more than are allowed: the others are closed, and
// when some end there is room again.
func TestConnectionsAreBounded(t *testing.T) {
	s := newSite(t)
	s.serve(t)
	var held []net.Conn
	for range mostConnections {
		conn := s.dial(t, "tcp")
		if _, err := conn.Write(frame(question(t, "web.", dnsmessage.TypeA, 0))); err != nil {
			t.Fatal(err)
		}
		if _, err := readFramed(conn); err != nil {
			t.Fatal(err)
		}
		held = append(held, conn)
	}
	if _, err := s.dial(t, "tcp").Read(make([]byte, 1)); !errors.Is(err, io.EOF) && !errors.Is(err, syscall.ECONNRESET) {
		t.Errorf("one more than allowed: %v, want its end", err)
	}
	for _, conn := range held {
		_ = conn.Close()
	}
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	for ctx.Err() == nil {
		conn := s.dial(t, "tcp")
		_, err := conn.Write(frame(question(t, "web.", dnsmessage.TypeA, 0)))
		if err == nil {
			_, err = readFramed(conn)
		}
		if err == nil {
			return
		}
	}
	t.Error("no room after the others have ended")
}

// TestFloodIsBounded has a guest ask as fast as it can for what nobody answers: few of
// its questions wait at a time, and names are found all the same.
func TestFloodIsBounded(t *testing.T) {
	silent, err := net.ListenPacket("udp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = silent.Close() }()
	s := newSite(t)
	server := s.serve(t, netip.MustParseAddrPort(silent.LocalAddr().String()))
	conn := s.dial(t, "udp")
	message := question(t, "example.org.", dnsmessage.TypeA, 0)
	for range 20000 {
		if _, err := conn.Write(message); err != nil {
			t.Fatal(err)
		}
	}
	if n := len(server.waiting); n == 0 || n > mostWaiting {
		t.Errorf("%d questions wait, want some, and at most %d", n, mostWaiting)
	}
	// What the kernel keeps of the flood is read first, at the server's pace.
	again := question(t, "web.", dnsmessage.TypeA, 0)
	for deadline := time.Now().Add(patience); ; {
		if time.Now().After(deadline) {
			t.Fatal("no name is found any more")
		}
		if _, err := conn.Write(again); err != nil {
			t.Fatal(err)
		}
		_ = conn.SetReadDeadline(time.Now().Add(100 * time.Millisecond))
		if answer, err := readDatagram(conn); err == nil && strings.Contains(show(answer), "10.254.254.3") {
			return
		}
	}
}

// TestSupported: what Listen needs is there where Listen works, and is missed by a
// process that may not use bpf(2).
func TestSupported(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("only root may load programs")
	}
	if err := Supported(); err != nil {
		t.Error(err)
	}
	failed := make(chan error)
	go func() {
		runtime.LockOSThread() // and never unlocked: the thread ends with its rights
		header := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
		none := [2]unix.CapUserData{}
		if err := unix.Capset(&header, &none[0]); err != nil {
			failed <- err
			return
		}
		failed <- Supported()
	}()
	if err := <-failed; !errors.Is(err, unix.EPERM) {
		t.Errorf("without any capability: %v", err)
	}
}

func BenchmarkSupported(b *testing.B) {
	for b.Loop() {
		if err := Supported(); err != nil {
			b.Fatal(err)
		}
	}
}
