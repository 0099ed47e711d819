package arp

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"

	"github.com/mdlayher/packet"
	"github.com/vishvananda/netlink"
	"golang.org/x/net/bpf"
	"golang.org/x/sys/unix"

	"kvmrun/netplumb/internal/rawsock"
)

var (
	// ErrAddress is wrapped where an address is not one that ARP can speak of.
	ErrAddress = errors.New("not a usable IPv4 address")
	// ErrNoARP is wrapped where nobody on an interface speaks ARP.
	ErrNoARP = errors.New("there is no ARP on it")
	// ErrDown is wrapped where an interface is down or has no carrier, so that
	// nobody can be asked.
	ErrDown = errors.New("it is down or has no carrier")
	// ErrGone is wrapped where an interface does not exist any more.
	ErrGone = rawsock.ErrGone
)

// socket is a packet socket for ARP on one interface. It closes when its
// context ends.
type socket struct {
	conn    *packet.Conn
	mac     net.HardwareAddr // the interface's, when the socket was opened
	running bool             // the interface was up then, with a carrier
	stop    func() bool
}

// open opens a socket that lets through what filter says. Close it.
func open(ctx context.Context, ifname string, filter []bpf.Instruction) (*socket, error) {
	link, err := netlink.LinkByName(ifname)
	if err != nil {
		return nil, fmt.Errorf("look interface %s up: %w", ifname, err)
	}
	mac, flags := link.Attrs().HardwareAddr, link.Attrs().RawFlags
	if len(mac) != 6 || flags&(unix.IFF_LOOPBACK|unix.IFF_NOARP) != 0 {
		return nil, fmt.Errorf("interface %s is not an Ethernet: %w", ifname, ErrNoARP)
	}
	program, err := bpf.Assemble(filter)
	if err != nil {
		return nil, fmt.Errorf("assemble the packet filter for %s: %w", ifname, err)
	}
	conn, err := packet.Listen(&net.Interface{Index: link.Attrs().Index}, packet.Raw, unix.ETH_P_ARP, &packet.Config{Filter: program})
	if err != nil {
		return nil, fmt.Errorf("open a packet socket on %s (needs CAP_NET_RAW): %w", ifname, err)
	}
	s := &socket{conn: conn, mac: mac, running: flags&unix.IFF_RUNNING != 0}
	s.stop = context.AfterFunc(ctx, func() { _ = conn.Close() })
	return s, nil
}

func (s *socket) close() {
	s.stop()
	_ = s.conn.Close() // a packet socket has nothing left to lose
}

func (s *socket) send(p Packet) error {
	_, err := s.conn.WriteTo(p.Marshal(), &packet.Addr{HardwareAddr: p.Destination})
	return err
}

// receive waits for a packet; buffer holds what the packet aliases.
func (s *socket) receive(buffer []byte) (Packet, error) {
	for {
		n, _, err := s.conn.ReadFrom(buffer)
		if err != nil {
			return Packet{}, err
		}
		if p, err := Parse(buffer[:n]); err == nil {
			return p, nil
		}
	}
}

// usable tells whether addr may stand in an ARP packet as somebody's.
func usable(addr netip.Addr) error {
	if !addr.Is4() || addr.IsUnspecified() || addr.IsMulticast() {
		return fmt.Errorf("%q: %w", addr, ErrAddress)
	}
	return nil
}
