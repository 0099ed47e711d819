package dhcp

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"sync/atomic"

	"github.com/insomniacslk/dhcp/dhcpv4"
	"github.com/mdlayher/packet"
	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"kvmrun/netplumb/internal/rawsock"
	"kvmrun/netplumb/internal/udpframe"
)

// Ports of RFC 2131, section 4.1.
const (
	serverPort = 67
	clientPort = 68
)

const (
	// longestFrame is how much of a frame is read; no client sends jumbo
	// frames.
	longestFrame = 1514
	// receiveBuffer bounds what the kernel keeps for a guest that asks faster
	// than it is answered, in bytes. The kernel doubles it for its bookkeeping.
	receiveBuffer = 64 << 10
)

// requests bounds how often a guest is answered: one that asks more often is
// made to wait. Asking at every boot and every second stays far below it.
var requests = rawsock.Rate{PerSecond: 100, Burst: 50}

// Server answers one guest. Close it, or let Serve end.
type Server struct {
	// OnEvent, if set, is told what the guest does. Set it before Serve; it is
	// called from Serve's goroutine, which answers nothing until it returns.
	OnEvent func(Event)

	cfg    Config
	mac    net.HardwareAddr // the interface's
	conn   *packet.Conn
	reader *rawsock.Reader
	write  func(frame []byte, to net.HardwareAddr) error // to conn
	closed atomic.Bool
}

// Listen opens the server's socket on cfg.Interface, in the calling thread's
// network namespace. From its return on nothing that the guest sends is lost,
// even if Serve is called later. It needs CAP_NET_RAW.
func Listen(cfg Config) (*Server, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	link, err := netlink.LinkByName(cfg.Interface)
	if err != nil {
		return nil, fmt.Errorf("DHCP on %s: look the interface up: %w", cfg.Interface, err)
	}
	filter, err := udpframe.Filter(cfg.MAC, netip.Addr{}, serverPort, longestFrame)
	if err != nil {
		return nil, fmt.Errorf("DHCP on %s: assemble the packet filter: %w", cfg.Interface, err)
	}
	conn, err := packet.Listen(&net.Interface{Index: link.Attrs().Index}, packet.Raw, unix.ETH_P_IP, &packet.Config{Filter: filter})
	if err != nil {
		return nil, fmt.Errorf("DHCP on %s: open a packet socket (needs CAP_NET_RAW): %w", cfg.Interface, err)
	}
	reader, err := rawsock.NewReader(conn, receiveBuffer, requests)
	if err != nil {
		return nil, errors.Join(fmt.Errorf("DHCP on %s: %w", cfg.Interface, err), conn.Close())
	}
	write := func(frame []byte, to net.HardwareAddr) error {
		_, err := conn.WriteTo(frame, &packet.Addr{HardwareAddr: to})
		return err
	}
	return &Server{cfg: cfg, mac: link.Attrs().HardwareAddr, conn: conn, write: write, reader: reader}, nil
}

// Close ends Serve and releases the socket. Further calls do nothing.
func (s *Server) Close() error {
	// The socket's own errors after this are of several kinds, none of which
	// says for sure that it was closed.
	if s.closed.Swap(true) {
		return nil
	}
	if err := s.conn.Close(); err != nil {
		return fmt.Errorf("DHCP on %s: close: %w", s.cfg.Interface, err)
	}
	return nil
}

// Serve answers the guest until ctx ends, Close is called or the interface is
// gone, and then returns nil with the socket closed. The interface may go down
// and up again meanwhile. A guest that asks more than 100 times in a second is
// answered at that rate and what it asks beyond is dropped by the kernel.
func (s *Server) Serve(ctx context.Context) error {
	defer func() { _ = s.Close() }() // Serve's own error says more
	stop := context.AfterFunc(ctx, func() { _ = s.Close() })
	defer stop()

	frame := make([]byte, longestFrame)
	for {
		n, err := s.reader.Read(ctx, frame)
		switch {
		case s.closed.Load(), ctx.Err() != nil, errors.Is(err, rawsock.ErrGone):
			return nil
		case err != nil:
			return fmt.Errorf("DHCP on %s: receive: %w", s.cfg.Interface, err)
		}
		s.handle(frame[:n])
	}
}

// handle answers one frame, if it deserves it.
func (s *Server) handle(frame []byte) {
	from, message, err := udpframe.Parse(frame, serverPort)
	if err != nil || !bytes.Equal(from.MAC, s.cfg.MAC) {
		return
	}
	request, err := dhcpv4.FromBytes(message)
	if err != nil || !fromGuest(s.cfg, request) {
		return
	}
	reply, ok := Answer(s.cfg, request)
	var sendErr error
	if ok {
		sendErr = s.send(request, reply)
	}
	if event, ok := newEvent(request, reply); ok && s.OnEvent != nil {
		event.Err = sendErr
		s.OnEvent(event)
	}
}

func (s *Server) send(request, reply *dhcpv4.DHCPv4) error {
	from := udpframe.Endpoint{MAC: s.mac, Addr: s.cfg.ServerID, Port: serverPort}
	to := udpframe.Endpoint{MAC: udpframe.Broadcast, Addr: netip.AddrFrom4([4]byte{255, 255, 255, 255}), Port: clientPort}
	if unicast(request, reply) {
		to.MAC, to.Addr = s.cfg.MAC, s.cfg.Address.Addr()
	}
	return s.write(udpframe.Build(from, to, reply.ToBytes()), to.MAC)
}
