package arp

import (
	"encoding/binary"
	"net/netip"

	"golang.org/x/net/bpf"
	"golang.org/x/sys/unix"
)

// Every filter drops what the kernel calls another host's. That includes the
// frames of a VLAN on the same wire, whose tag is out of the frame before a
// socket sees it: a host in a VLAN is nobody's rival outside of it.

// Places in an ARP frame.
const (
	offsetSenderAddr = ethernetHeader + 14
	offsetTargetAddr = ethernetHeader + 24
)

// passNothing is for a socket that only sends.
func passNothing() []bpf.Instruction {
	return []bpf.Instruction{bpf.RetConstant{Val: 0}}
}

// passFrom lets through ARP whose sender has addr.
func passFrom(addr netip.Addr) []bpf.Instruction {
	return []bpf.Instruction{
		bpf.LoadExtension{Num: bpf.ExtType},
		bpf.JumpIf{Cond: bpf.JumpEqual, Val: unix.PACKET_OTHERHOST, SkipTrue: 3},
		bpf.LoadAbsolute{Off: offsetSenderAddr, Size: 4},
		bpf.JumpIf{Cond: bpf.JumpNotEqual, Val: word(addr), SkipTrue: 1},
		bpf.RetConstant{Val: frameLength},
		bpf.RetConstant{Val: 0},
	}
}

// passAbout lets through ARP whose sender or target has addr.
func passAbout(addr netip.Addr) []bpf.Instruction {
	return []bpf.Instruction{
		bpf.LoadExtension{Num: bpf.ExtType},
		bpf.JumpIf{Cond: bpf.JumpEqual, Val: unix.PACKET_OTHERHOST, SkipTrue: 5},
		bpf.LoadAbsolute{Off: offsetSenderAddr, Size: 4},
		bpf.JumpIf{Cond: bpf.JumpEqual, Val: word(addr), SkipTrue: 2},
		bpf.LoadAbsolute{Off: offsetTargetAddr, Size: 4},
		bpf.JumpIf{Cond: bpf.JumpNotEqual, Val: word(addr), SkipTrue: 1},
		bpf.RetConstant{Val: frameLength},
		bpf.RetConstant{Val: 0},
	}
}

// passClaims lets through ARP whose sender has addr, or has no address yet and
// asks for addr: what a defence must hear. Everybody's questions for addr, which
// the kernel answers, cost this process nothing.
func passClaims(addr netip.Addr) []bpf.Instruction {
	return []bpf.Instruction{
		bpf.LoadExtension{Num: bpf.ExtType},
		bpf.JumpIf{Cond: bpf.JumpEqual, Val: unix.PACKET_OTHERHOST, SkipTrue: 6},
		bpf.LoadAbsolute{Off: offsetSenderAddr, Size: 4},
		bpf.JumpIf{Cond: bpf.JumpEqual, Val: word(addr), SkipTrue: 3},
		bpf.JumpIf{Cond: bpf.JumpNotEqual, Val: 0, SkipTrue: 3},
		bpf.LoadAbsolute{Off: offsetTargetAddr, Size: 4},
		bpf.JumpIf{Cond: bpf.JumpNotEqual, Val: word(addr), SkipTrue: 1},
		bpf.RetConstant{Val: frameLength},
		bpf.RetConstant{Val: 0},
	}
}

func word(addr netip.Addr) uint32 {
	bytes := addr.As4()
	return binary.BigEndian.Uint32(bytes[:])
}
