// Package arp speaks ARP on a packet socket: it announces an address that now
// lives behind an interface, asks whether an address is taken before it is
// used (RFC 5227), and waits for a guest to answer for its own.
//
// All of it works per interface and per address, in the calling thread's
// network namespace, needs CAP_NET_RAW and leaves the kernel's neighbour table
// alone. Nothing is kept between calls: many may run side by side.
package arp

import (
	"encoding/binary"
	"errors"
	"net"
	"net/netip"
)

// Op is what an ARP packet does (RFC 826).
type Op uint16

// The operations of ARP over Ethernet.
const (
	Request Op = 1
	Reply   Op = 2
)

// ErrNotARP is returned for a frame that is not IPv4 ARP over Ethernet.
var ErrNotARP = errors.New("frame is not an ARP packet for IPv4 on Ethernet")

const (
	ethernetHeader = 14
	packetLength   = 28
	frameLength    = ethernetHeader + packetLength

	etherTypeARP     = 0x0806
	etherTypeIPv4    = 0x0800
	hardwareEthernet = 1
)

var (
	broadcast = net.HardwareAddr{0xff, 0xff, 0xff, 0xff, 0xff, 0xff}
	nobody    = net.HardwareAddr{0, 0, 0, 0, 0, 0}
)

// Packet is an ARP packet and the Ethernet addresses that it travels with.
// MACs are six bytes long, addresses IPv4.
type Packet struct {
	Destination, Source net.HardwareAddr // of the Ethernet frame

	Op         Op
	SenderMAC  net.HardwareAddr
	SenderAddr netip.Addr
	TargetMAC  net.HardwareAddr
	TargetAddr netip.Addr
}

// Parse reads an Ethernet frame. The packet's MACs alias frame. The error is
// ErrNotARP or nil.
func Parse(frame []byte) (Packet, error) {
	if len(frame) < frameLength || binary.BigEndian.Uint16(frame[12:]) != etherTypeARP {
		return Packet{}, ErrNotARP
	}
	body := frame[ethernetHeader:frameLength]
	if binary.BigEndian.Uint16(body[0:]) != hardwareEthernet ||
		binary.BigEndian.Uint16(body[2:]) != etherTypeIPv4 ||
		body[4] != 6 || body[5] != 4 {
		return Packet{}, ErrNotARP
	}
	return Packet{
		Destination: frame[0:6],
		Source:      frame[6:12],
		Op:          Op(binary.BigEndian.Uint16(body[6:])),
		SenderMAC:   body[8:14],
		SenderAddr:  netip.AddrFrom4([4]byte(body[14:18])),
		TargetMAC:   body[18:24],
		TargetAddr:  netip.AddrFrom4([4]byte(body[24:28])),
	}, nil
}

// Marshal writes the Ethernet frame of p, without the padding to 60 bytes that
// the hardware adds.
func (p Packet) Marshal() []byte {
	frame := make([]byte, frameLength)
	copy(frame[0:6], p.Destination)
	copy(frame[6:12], p.Source)
	binary.BigEndian.PutUint16(frame[12:], etherTypeARP)

	body := frame[ethernetHeader:]
	binary.BigEndian.PutUint16(body[0:], hardwareEthernet)
	binary.BigEndian.PutUint16(body[2:], etherTypeIPv4)
	body[4], body[5] = 6, 4
	binary.BigEndian.PutUint16(body[6:], uint16(p.Op))
	copy(body[8:14], p.SenderMAC)
	copy(body[14:18], p.SenderAddr.AsSlice())
	copy(body[18:24], p.TargetMAC)
	copy(body[24:28], p.TargetAddr.AsSlice())
	return frame
}

// question asks everybody for the owner of addr. With an unspecified from it
// is a probe (RFC 5227, section 1.1), which changes nobody's cache.
func question(mac net.HardwareAddr, from, addr netip.Addr) Packet {
	return Packet{
		Destination: broadcast, Source: mac,
		Op:        Request,
		SenderMAC: mac, SenderAddr: from,
		TargetMAC: nobody, TargetAddr: addr,
	}
}

// announcements are the two forms in which an owner makes itself known: as a
// request (RFC 5227, section 2.3) and as a reply nobody asked for. Some systems
// listen to one alone. Linux takes the reply for gratuitous only if it names
// the owner's MAC as the target's too (arp_is_garp in net/ipv4/arp.c).
func announcements(mac net.HardwareAddr, addr netip.Addr) []Packet {
	request := question(mac, addr, addr)
	reply := request
	reply.Op, reply.TargetMAC = Reply, mac
	return []Packet{request, reply}
}
