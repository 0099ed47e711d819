package explain

import (
	"crypto/rand"
	"encoding/binary"
	"net/netip"

	"golang.org/x/net/icmp"
	"golang.org/x/net/ipv4"
	"golang.org/x/sys/unix"
)

// tag is the payload by which a packet of ours, and its answer, are told from
// all others.
type tag [16]byte

func newTag() (t tag) {
	_, _ = rand.Read(t[:]) // it never fails
	return t
}

const (
	ethernetHeader = 14
	ipv4Header     = 20
	icmpHeader     = 8
	etherTypeIPv4  = 0x0800
	etherTypeARP   = 0x0806
	protocolICMP   = 1
)

// newEcho is an ICMP echo request (RFC 792) in an IPv4 packet whose checksum and
// length the kernel fills in (raw(7)).
func newEcho(from, to netip.Addr, t tag) ([]byte, error) {
	message := icmp.Message{Type: ipv4.ICMPTypeEcho, Body: &icmp.Echo{
		ID: int(binary.BigEndian.Uint16(t[:])), Seq: 1, Data: t[:],
	}}
	body, err := message.Marshal(nil)
	if err != nil {
		return nil, err
	}
	packet := make([]byte, ipv4Header, ipv4Header+len(body))
	packet[0] = 0x45 // version 4, five words of header
	packet[8] = 64   // time to live
	packet[9] = protocolICMP
	copy(packet[12:], from.AsSlice())
	copy(packet[16:], to.AsSlice())
	return append(packet, body...), nil
}

// parseEcho reads an IPv4 packet that may be one of ours or its answer.
func parseEcho(packet []byte) (t tag, reply, ok bool) {
	if len(packet) < ipv4Header || packet[0]>>4 != 4 || packet[9] != protocolICMP {
		return t, false, false
	}
	header := int(packet[0]&0x0f) * 4
	if header < ipv4Header || len(packet) < header+icmpHeader+len(t) {
		return t, false, false
	}
	kind := ipv4.ICMPType(packet[header])
	copy(t[:], packet[header+icmpHeader:])
	return t, kind == ipv4.ICMPTypeEchoReply, kind == ipv4.ICMPTypeEcho || kind == ipv4.ICMPTypeEchoReply
}

// sender sends IPv4 packets with any source address through this host's own
// stack: as packets of its own they meet no filter that is for strangers, and
// connection tracking knows the answers.
type sender struct{ fd int }

func openSender() (sender, error) {
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_RAW|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, unix.IPPROTO_RAW)
	return sender{fd}, err
}

func (s sender) close() { _ = unix.Close(s.fd) }

func (s sender) send(from, to netip.Addr, t tag) error {
	packet, err := newEcho(from, to, t)
	if err != nil {
		return err
	}
	return unix.Sendto(s.fd, packet, 0, &unix.SockaddrInet4{Addr: to.As4()})
}
