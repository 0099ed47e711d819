package udpframe

import (
	"encoding/binary"
	"net"
	"net/netip"

	"golang.org/x/net/bpf"
	"golang.org/x/sys/unix"
)

// Filter keeps everything but datagrams from the guest's own MAC to one port away
// from a packet socket: whatever else crosses the tap costs this process nothing. If
// to is an address, it keeps away what is for any other, too. It also drops what the
// kernel calls another host's, which includes every frame of a VLAN: its tag is out
// of the frame before a socket sees it (__netif_receive_skb_core in net/core/dev.c).
// Frames are cut to longest bytes.
func Filter(mac net.HardwareAddr, to netip.Addr, port uint16, longest int) ([]bpf.RawInstruction, error) {
	var program []bpf.Instruction
	load := func(i bpf.Instruction) { program = append(program, i) }
	dropIf := func(cond bpf.JumpTest, value uint32) {
		program = append(program, bpf.JumpIf{Cond: cond, Val: value, SkipFalse: 1}, bpf.RetConstant{Val: 0})
	}
	load(bpf.LoadExtension{Num: bpf.ExtType})
	dropIf(bpf.JumpEqual, unix.PACKET_OTHERHOST)
	load(bpf.LoadAbsolute{Off: 6, Size: 4})
	dropIf(bpf.JumpNotEqual, binary.BigEndian.Uint32(mac[0:4]))
	load(bpf.LoadAbsolute{Off: 10, Size: 4}) // the rest of the MAC, the EtherType
	dropIf(bpf.JumpNotEqual, uint32(binary.BigEndian.Uint16(mac[4:6]))<<16|EtherTypeIPv4)
	load(bpf.LoadAbsolute{Off: EthernetHeader + 9, Size: 1})
	dropIf(bpf.JumpNotEqual, ProtocolUDP)
	if to.IsValid() {
		load(bpf.LoadAbsolute{Off: EthernetHeader + 16, Size: 4})
		dropIf(bpf.JumpNotEqual, binary.BigEndian.Uint32(to.AsSlice()))
	}
	load(bpf.LoadAbsolute{Off: EthernetHeader + 6, Size: 2})
	dropIf(bpf.JumpBitsSet, moreFragmentsAndOffset)
	load(bpf.LoadMemShift{Off: EthernetHeader}) // X = length of the IPv4 header
	load(bpf.LoadIndirect{Off: EthernetHeader + 2, Size: 2})
	dropIf(bpf.JumpNotEqual, uint32(port))
	load(bpf.RetConstant{Val: uint32(longest)})
	return bpf.Assemble(program)
}
