package dhcp

import (
	"encoding/binary"
	"errors"
	"net"
	"net/netip"
)

// Ports of RFC 2131, section 4.1.
const (
	serverPort = 67
	clientPort = 68
)

const (
	ethernetHeader = 14
	ipv4Header     = 20
	udpHeader      = 8

	etherTypeIPv4 = 0x0800
	protocolUDP   = 17
)

// errNotForServer says that a frame carries nothing for a DHCP server. Which
// of the many reasons it was is of no use to anybody.
var errNotForServer = errors.New("frame carries no DHCP message for a server")

var broadcastMAC = net.HardwareAddr{0xff, 0xff, 0xff, 0xff, 0xff, 0xff}

// parseFrame returns the Ethernet source of a frame and the DHCP message in
// it, both aliasing frame.
//
// Checksums are not looked at: a frame from a guest on the same host may carry
// a partial one, to be completed by hardware that it never meets. Fragments
// are refused; no client sends any.
func parseFrame(frame []byte) (source net.HardwareAddr, message []byte, err error) {
	if len(frame) < ethernetHeader || binary.BigEndian.Uint16(frame[12:]) != etherTypeIPv4 {
		return nil, nil, errNotForServer
	}
	datagram, err := parseIPv4(frame[ethernetHeader:])
	if err != nil {
		return nil, nil, err
	}
	message, err = parseUDP(datagram)
	return frame[6:12], message, err
}

// parseIPv4 returns the payload of an unfragmented UDP packet, without the
// padding that Ethernet adds to short frames (RFC 791, section 3.1).
func parseIPv4(packet []byte) ([]byte, error) {
	if len(packet) < ipv4Header || packet[0]>>4 != 4 || packet[9] != protocolUDP {
		return nil, errNotForServer
	}
	const moreFragmentsAndOffset = 0x3fff
	if binary.BigEndian.Uint16(packet[6:])&moreFragmentsAndOffset != 0 {
		return nil, errNotForServer
	}
	header := int(packet[0]&0x0f) * 4
	total := int(binary.BigEndian.Uint16(packet[2:]))
	if header < ipv4Header || total < header || total > len(packet) {
		return nil, errNotForServer
	}
	return packet[header:total], nil
}

// parseUDP returns what a datagram carries to the server's port (RFC 768).
func parseUDP(datagram []byte) ([]byte, error) {
	if len(datagram) < udpHeader || binary.BigEndian.Uint16(datagram[2:]) != serverPort {
		return nil, errNotForServer
	}
	length := int(binary.BigEndian.Uint16(datagram[4:]))
	if length < udpHeader || length > len(datagram) {
		return nil, errNotForServer
	}
	return datagram[udpHeader:length], nil
}

// endpoint is one end of a frame: a MAC, an IPv4 address and a UDP port.
type endpoint struct {
	mac  net.HardwareAddr
	addr netip.Addr
	port uint16
}

// buildFrame wraps message into UDP, IPv4 and Ethernet. Both checksums are
// filled in: clients on raw sockets check them, and nothing behind this socket
// completes them.
func buildFrame(from, to endpoint, message []byte) []byte {
	frame := make([]byte, ethernetHeader+ipv4Header+udpHeader+len(message))
	copy(frame[0:], to.mac)
	copy(frame[6:], from.mac)
	binary.BigEndian.PutUint16(frame[12:], etherTypeIPv4)

	packet := frame[ethernetHeader:]
	packet[0] = 0x45 // version 4, five words of header
	binary.BigEndian.PutUint16(packet[2:], uint16(len(packet)))
	packet[8] = 64 // time to live
	packet[9] = protocolUDP
	copy(packet[12:], from.addr.AsSlice())
	copy(packet[16:], to.addr.AsSlice())
	binary.BigEndian.PutUint16(packet[10:], ^onesSum(0, packet[:ipv4Header]))

	datagram := packet[ipv4Header:]
	binary.BigEndian.PutUint16(datagram[0:], from.port)
	binary.BigEndian.PutUint16(datagram[2:], to.port)
	binary.BigEndian.PutUint16(datagram[4:], uint16(len(datagram)))
	copy(datagram[udpHeader:], message)
	binary.BigEndian.PutUint16(datagram[6:], udpChecksum(packet[12:20], datagram))
	return frame
}

// udpChecksum covers the pseudo-header of RFC 768: both addresses, the
// protocol and the length. Zero would mean "none" and is sent as all ones.
func udpChecksum(addresses, datagram []byte) uint16 {
	pseudo := uint32(protocolUDP + len(datagram))
	sum := ^onesSum(uint32(onesSum(pseudo, addresses)), datagram)
	if sum == 0 {
		return 0xffff
	}
	return sum
}

// onesSum adds b to sum in ones' complement, as 16-bit words (RFC 1071).
func onesSum(sum uint32, b []byte) uint16 {
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
