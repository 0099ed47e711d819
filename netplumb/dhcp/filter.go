package dhcp

import (
	"encoding/binary"
	"net"

	"golang.org/x/net/bpf"
	"golang.org/x/sys/unix"
)

// receiveFilter keeps everything but DHCP from the guest's own MAC away from
// the socket: whatever else crosses the tap costs this process nothing. It
// also drops what the kernel calls another host's, which includes every frame
// of a VLAN: its tag is out of the frame before this socket sees it
// (__netif_receive_skb_core in net/core/dev.c).
func receiveFilter(mac net.HardwareAddr) ([]bpf.RawInstruction, error) {
	const drop = 14 // the index of the last instruction
	return bpf.Assemble([]bpf.Instruction{
		0:  bpf.LoadExtension{Num: bpf.ExtType},
		1:  bpf.JumpIf{Cond: bpf.JumpEqual, Val: unix.PACKET_OTHERHOST, SkipTrue: drop - 2},
		2:  bpf.LoadAbsolute{Off: 6, Size: 4},
		3:  bpf.JumpIf{Cond: bpf.JumpNotEqual, Val: binary.BigEndian.Uint32(mac[0:4]), SkipTrue: drop - 4},
		4:  bpf.LoadAbsolute{Off: 10, Size: 4}, // the rest of the MAC, the EtherType
		5:  bpf.JumpIf{Cond: bpf.JumpNotEqual, Val: uint32(binary.BigEndian.Uint16(mac[4:6]))<<16 | etherTypeIPv4, SkipTrue: drop - 6},
		6:  bpf.LoadAbsolute{Off: ethernetHeader + 9, Size: 1},
		7:  bpf.JumpIf{Cond: bpf.JumpNotEqual, Val: protocolUDP, SkipTrue: drop - 8},
		8:  bpf.LoadAbsolute{Off: ethernetHeader + 6, Size: 2},
		9:  bpf.JumpIf{Cond: bpf.JumpBitsSet, Val: 0x3fff, SkipTrue: drop - 10}, // a fragment
		10: bpf.LoadMemShift{Off: ethernetHeader},                               // X = length of the IPv4 header
		11: bpf.LoadIndirect{Off: ethernetHeader + 2, Size: 2},
		12: bpf.JumpIf{Cond: bpf.JumpNotEqual, Val: serverPort, SkipTrue: drop - 13},
		13: bpf.RetConstant{Val: longestFrame},
		14: bpf.RetConstant{Val: 0},
	})
}
