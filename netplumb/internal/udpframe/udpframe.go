// Package udpframe reads and writes UDP over IPv4 as whole Ethernet frames, for
// servers of one guest that work on a packet socket.
package udpframe

import (
	"encoding/binary"
	"errors"
	"net"
	"net/netip"
)

// Sizes of headers, in bytes.
const (
	EthernetHeader = 14
	IPv4Header     = 20 // without options
	UDPHeader      = 8
)

// What the headers say of what is in them.
const (
	EtherTypeIPv4 = 0x0800
	ProtocolUDP   = 17
)

// ErrOther says that a frame carries nothing for the server. Which of the many
// reasons it was is of no use to anybody.
var ErrOther = errors.New("frame carries no datagram for the server")

// Broadcast is everybody's MAC.
var Broadcast = net.HardwareAddr{0xff, 0xff, 0xff, 0xff, 0xff, 0xff}

// Endpoint is one end of a frame: a MAC, an IPv4 address and a UDP port.
type Endpoint struct {
	MAC  net.HardwareAddr
	Addr netip.Addr
	Port uint16
}

// Parse returns who sent a frame and what it carries to the server's port. MAC and
// payload alias frame.
//
// Checksums are not looked at: a frame from a guest on the same host may carry
// a partial one, to be completed by hardware that it never meets. Fragments
// are refused; what is served here is short.
func Parse(frame []byte, port uint16) (from Endpoint, payload []byte, err error) {
	if len(frame) < EthernetHeader || binary.BigEndian.Uint16(frame[12:]) != EtherTypeIPv4 {
		return from, nil, ErrOther
	}
	packet := frame[EthernetHeader:]
	datagram, err := parseIPv4(packet)
	if err != nil {
		return from, nil, err
	}
	if payload, err = parseUDP(datagram, port); err != nil {
		return from, nil, err
	}
	from.MAC = frame[6:12]
	from.Addr = netip.AddrFrom4([4]byte(packet[12:16]))
	from.Port = binary.BigEndian.Uint16(datagram)
	return from, payload, nil
}

// parseIPv4 returns the payload of an unfragmented UDP packet, without the
// padding that Ethernet adds to short frames (RFC 791, section 3.1).
func parseIPv4(packet []byte) ([]byte, error) {
	if len(packet) < IPv4Header || packet[0]>>4 != 4 || packet[9] != ProtocolUDP {
		return nil, ErrOther
	}
	if binary.BigEndian.Uint16(packet[6:])&moreFragmentsAndOffset != 0 {
		return nil, ErrOther
	}
	header := int(packet[0]&0x0f) * 4
	total := int(binary.BigEndian.Uint16(packet[2:]))
	if header < IPv4Header || total < header || total > len(packet) {
		return nil, ErrOther
	}
	return packet[header:total], nil
}

// moreFragmentsAndOffset are set in the sixth and seventh byte of a fragment.
const moreFragmentsAndOffset = 0x3fff

// parseUDP returns what a datagram carries to the server's port (RFC 768).
func parseUDP(datagram []byte, port uint16) ([]byte, error) {
	if len(datagram) < UDPHeader || binary.BigEndian.Uint16(datagram[2:]) != port {
		return nil, ErrOther
	}
	length := int(binary.BigEndian.Uint16(datagram[4:]))
	if length < UDPHeader || length > len(datagram) {
		return nil, ErrOther
	}
	return datagram[UDPHeader:length], nil
}

// Build wraps a message into UDP, IPv4 and Ethernet. Both checksums are
// filled in: clients on raw sockets check them, and nothing behind this socket
// completes them.
func Build(from, to Endpoint, message []byte) []byte {
	frame := make([]byte, EthernetHeader+IPv4Header+UDPHeader+len(message))
	copy(frame[0:], to.MAC)
	copy(frame[6:], from.MAC)
	binary.BigEndian.PutUint16(frame[12:], EtherTypeIPv4)

	packet := frame[EthernetHeader:]
	packet[0] = 0x45 // version 4, five words of header
	binary.BigEndian.PutUint16(packet[2:], uint16(len(packet)))
	packet[8] = 64 // time to live
	packet[9] = ProtocolUDP
	copy(packet[12:], from.Addr.AsSlice())
	copy(packet[16:], to.Addr.AsSlice())
	binary.BigEndian.PutUint16(packet[10:], ^OnesSum(0, packet[:IPv4Header]))

	datagram := packet[IPv4Header:]
	binary.BigEndian.PutUint16(datagram[0:], from.Port)
	binary.BigEndian.PutUint16(datagram[2:], to.Port)
	binary.BigEndian.PutUint16(datagram[4:], uint16(len(datagram)))
	copy(datagram[UDPHeader:], message)
	binary.BigEndian.PutUint16(datagram[6:], udpChecksum(packet[12:20], datagram))
	return frame
}

// udpChecksum covers the pseudo-header of RFC 768: both addresses, the
// protocol and the length. Zero would mean "none" and is sent as all ones.
func udpChecksum(addresses, datagram []byte) uint16 {
	pseudo := uint32(ProtocolUDP + len(datagram))
	sum := ^OnesSum(uint32(OnesSum(pseudo, addresses)), datagram)
	if sum == 0 {
		return 0xffff
	}
	return sum
}

// OnesSum adds b to sum in ones' complement, as 16-bit words (RFC 1071). What has a
// right checksum in it adds up to 0xffff.
func OnesSum(sum uint32, b []byte) uint16 {
	for ; len(b) >= 2; b = b[2:] {
		sum += uint32(binary.BigEndian.Uint16(b))
	}
	if len(b) == 1 {
		sum += uint32(b[0]) << 8
	}
	for sum > 0xffff {
		sum = sum>>16 + sum&0xffff
	}
	return uint16(sum)
}
