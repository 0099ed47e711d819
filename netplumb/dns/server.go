package dns

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"sync/atomic"

	"github.com/mdlayher/packet"
	"github.com/vishvananda/netlink"
	"golang.org/x/net/dns/dnsmessage"
	"golang.org/x/sys/unix"

	"kvmrun/netplumb/internal/rawsock"
	"kvmrun/netplumb/internal/udpframe"
)

const (
	port = 53
	// longestFrame is how much of a frame is read.
	longestFrame = 1514
	// receiveBuffer bounds what the kernel keeps for a guest that asks faster
	// than it is answered, in bytes.
	receiveBuffer = 128 << 10
	// mostWaiting is how many of a guest's questions may wait for other servers
	// at a time; further ones are dropped, and asked again by the guest.
	mostWaiting = 64
)

// questions bounds how often a guest is answered.
var questions = rawsock.Rate{PerSecond: 500, Burst: 200}

// Server answers one guest. Close it, or let Serve end.
type Server struct {
	cfg      Config
	mac      net.HardwareAddr // the interface's
	conn     *packet.Conn
	reader   *rawsock.Reader
	limit    *rawsock.Limit // of what comes by TCP
	listener *net.TCPListener
	waiting  chan struct{} // has room for mostWaiting
	closed   atomic.Bool
}

// Listen opens the server's sockets in the calling thread's network namespace and has
// the tap lead to them what the guest sends to port 53 of cfg.Address. From its
// return on nothing that the guest asks is lost, even if Serve is called later. It
// needs CAP_NET_RAW, CAP_NET_ADMIN and CAP_BPF.
func Listen(cfg Config) (*Server, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	s := &Server{cfg: cfg, limit: rawsock.NewLimit(questions), waiting: make(chan struct{}, mostWaiting)}
	if err := s.open(); err != nil {
		return nil, errors.Join(fmt.Errorf("DNS on %s: %w", cfg.Interface, err), s.Close())
	}
	return s, nil
}

func (s *Server) open() error {
	link, err := netlink.LinkByName(s.cfg.Interface)
	if err != nil {
		return fmt.Errorf("look the interface up: %w", err)
	}
	s.mac = link.Attrs().HardwareAddr
	filter, err := udpframe.Filter(s.cfg.MAC, s.cfg.Address, port, longestFrame)
	if err != nil {
		return fmt.Errorf("assemble the packet filter: %w", err)
	}
	// Sockets for all protocols see a frame before the tap's own program does.
	s.conn, err = packet.Listen(&net.Interface{Index: link.Attrs().Index}, packet.Raw, unix.ETH_P_ALL, &packet.Config{Filter: filter})
	if err != nil {
		return fmt.Errorf("open a packet socket (needs CAP_NET_RAW): %w", err)
	}
	if err := ignoreOutgoing(s.conn); err != nil {
		return err
	}
	if s.reader, err = rawsock.NewReader(s.conn, receiveBuffer, questions); err != nil {
		return err
	}
	if s.listener, err = listenTCP(s.cfg.Interface, s.cfg.Address); err != nil {
		return fmt.Errorf("listen: %w", err)
	}
	return steer(link.Attrs().Index, s.cfg.Address, s.listener)
}

// ignoreOutgoing spares the kernel the copies of frames to the guest.
func ignoreOutgoing(conn *packet.Conn) error {
	raw, err := conn.SyscallConn()
	if err != nil {
		return err
	}
	var failed error
	if err := raw.Control(func(fd uintptr) {
		failed = unix.SetsockoptInt(int(fd), unix.SOL_PACKET, unix.PACKET_IGNORE_OUTGOING, 1)
	}); err != nil {
		return err
	}
	return failed
}

// Close ends Serve and releases the sockets; port 53 is what it was without them.
// Further calls do nothing.
func (s *Server) Close() error {
	if s.closed.Swap(true) {
		return nil
	}
	if s.listener != nil {
		_ = s.listener.Close() // which fails only for one that is closed
	}
	if s.conn != nil {
		if err := s.conn.Close(); err != nil {
			return fmt.Errorf("DNS on %s: close: %w", s.cfg.Interface, err)
		}
	}
	return nil
}

// Serve answers the guest until ctx ends, Close is called or the interface is gone,
// and then returns nil with the sockets closed. A guest that asks more than 500 times
// in a second is answered at that rate, and what it asks beyond is dropped.
func (s *Server) Serve(ctx context.Context) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()                   // those that wait for other servers give up
	defer func() { _ = s.Close() }() // Serve's own error says more
	stop := context.AfterFunc(ctx, func() { _ = s.Close() })
	defer stop()
	go s.serveTCP(ctx)

	buffer := make([]byte, longestFrame)
	for {
		n, err := s.reader.Read(ctx, buffer)
		switch {
		case s.closed.Load(), ctx.Err() != nil, errors.Is(err, rawsock.ErrGone):
			return nil
		case err != nil:
			return fmt.Errorf("DNS on %s: receive: %w", s.cfg.Interface, err)
		}
		s.handle(ctx, buffer[:n])
	}
}

// handle answers one frame, if it deserves it.
func (s *Server) handle(ctx context.Context, frame []byte) {
	from, message, err := udpframe.Parse(frame, port)
	if err != nil || from.Addr != s.cfg.Guest || from.Port == 0 {
		return
	}
	q, err := parse(bytes.Clone(message))
	if err != nil {
		return
	}
	from.MAC = s.cfg.MAC
	if answer, ok := judge(q, s.cfg.Names); ok {
		s.send(from, q, answer)
		return
	}
	select {
	case s.waiting <- struct{}{}:
	default:
		return
	}
	go func() {
		defer func() { <-s.waiting }()
		s.send(from, q, s.ask(ctx, "udp", q))
	}()
}

// ask has other servers answer. That they cannot is an answer, too.
func (s *Server) ask(ctx context.Context, network string, q query) []byte {
	answer, err := s.forward(ctx, network, q)
	if err != nil {
		return q.reply(dnsmessage.RCodeServerFailure, nil)
	}
	return answer
}

// send sends an answer by UDP. What the kernel has no room for the guest asks again.
func (s *Server) send(to udpframe.Endpoint, q query, answer []byte) {
	answer = q.cut(answer, min(q.room, s.cfg.MTU-headers))
	if len(answer) == 0 {
		return
	}
	from := udpframe.Endpoint{MAC: s.mac, Addr: s.cfg.Address, Port: port}
	_, _ = s.conn.WriteTo(udpframe.Build(from, to, answer), &packet.Addr{HardwareAddr: to.MAC})
}
