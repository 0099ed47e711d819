package dns

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"net/netip"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// filterPriority and filterName are how the program on the tap is known.
const (
	filterPriority = port
	filterName     = "kvmrun-dns"
)

// steer puts a program on the interface, or in the place of an earlier one, that
// takes what comes in for port 53 of the address from the host's own sockets:
// datagrams end there (a packet socket has seen them), and connections are led to the
// listener. When the listener is closed, by whatever end of this process, the program
// lets everything pass. It goes with the interface.
func steer(index int, addr netip.Addr, listener *net.TCPListener) error {
	sockets, err := newSocketMap(listener)
	if err != nil {
		return err
	}
	defer func() { _ = unix.Close(sockets) }() // the program keeps it
	program, err := loadProgram(steering(addr, sockets))
	if err != nil {
		return err
	}
	defer func() { _ = unix.Close(program) }() // the filter keeps it
	err = netlink.QdiscAdd(&netlink.GenericQdisc{
		QdiscAttrs: netlink.QdiscAttrs{LinkIndex: index, Handle: netlink.MakeHandle(0xffff, 0), Parent: netlink.HANDLE_CLSACT},
		QdiscType:  "clsact",
	})
	if err != nil && !errors.Is(err, unix.EEXIST) {
		return fmt.Errorf("add a clsact qdisc (the kernel needs CONFIG_NET_SCH_INGRESS): %w", err)
	}
	err = netlink.FilterReplace(&netlink.BpfFilter{
		FilterAttrs: netlink.FilterAttrs{
			LinkIndex: index, Parent: netlink.HANDLE_MIN_INGRESS, Handle: 1, Priority: filterPriority, Protocol: unix.ETH_P_ALL,
		},
		Fd: program, Name: filterName, DirectAction: true,
	})
	if err != nil {
		return fmt.Errorf("add a filter (the kernel needs CONFIG_NET_CLS_BPF): %w", err)
	}
	return nil
}

// Supported tells whether this process may have the kernel run what Listen puts on a
// tap, as it may not in many containers. It changes nothing. What is only known with an
// interface, the kernel's clsact and its filters by BPF, Listen finds out.
func Supported() error {
	sockets, err := createMap()
	if err != nil {
		return err
	}
	defer func() { _ = unix.Close(sockets) }()
	program, err := loadProgram(steering(netip.AddrFrom4([4]byte{}), sockets))
	if err != nil {
		return err
	}
	return unix.Close(program)
}

// Offsets in a frame whose IPv4 header has no options; those behind it are for a
// register that has that header's length.
const (
	offsetEtherType   = 12
	offsetLength      = 14
	offsetFragment    = 14 + 6
	offsetProtocol    = 14 + 9
	offsetDestination = 14 + 16
	offsetPort        = 14 + 2
	offsetFlags       = 14 + 13

	flagSYN, flagACK = 0x02, 0x10
)

// What a filter returns (linux/pkt_cls.h).
const (
	actNext = -1 // TC_ACT_UNSPEC: as if this filter had not been
	actDrop = 2  // TC_ACT_SHOT
)

// steering is the program. Of a connection only the beginning is led: the rest the
// kernel knows by itself. Frames that are too short end it early, and pass.
func steering(addr netip.Addr, sockets int) []instruction {
	const next, ours = "next", "ours"
	p := new(assembly)
	p.add(move(r6, r1)) // by which a frame's bytes are loaded
	p.add(load(half, offsetEtherType))
	p.unless(r0, unix.ETH_P_IP, next)
	p.add(load(word, offsetDestination))
	p.unless(r0, binary.BigEndian.Uint32(addr.AsSlice()), next)
	p.add(load(half, offsetFragment), and(r0, 0x1fff))
	p.unless(r0, 0, next) // later fragments have no port
	p.add(load(octet, offsetLength), and(r0, 0x0f), shiftLeft(r0, 2), move(r8, r0))
	p.add(load(octet, offsetProtocol), move(r7, r0))
	p.add(loadAt(half, r8, offsetPort))
	p.unless(r0, port, next)
	p.when(r7, unix.IPPROTO_UDP, ours)
	p.unless(r7, unix.IPPROTO_TCP, next)
	p.add(loadAt(octet, r8, offsetFlags), and(r0, flagSYN|flagACK))
	p.unless(r0, flagSYN, next)

	p.mark(ours)
	p.add(store(r10, -4, 0)) // the key
	p.add(mapOf(r1, sockets)...)
	p.add(move(r2, r10), add(r2, -4), call(helperLookUp))
	p.whenNull(r0, next) // nobody serves any more
	p.add(move(r9, r0))
	p.when(r7, unix.IPPROTO_UDP, "drop")
	p.add(move(r1, r6), move(r2, r9), set(r3, 0), call(helperAssign))
	p.add(move(r1, r9), call(helperRelease))
	p.mark(next)
	p.add(set(r0, actNext), exit())

	p.mark("drop")
	p.add(move(r1, r9), call(helperRelease), set(r0, actDrop), exit())
	return p.finish()
}
