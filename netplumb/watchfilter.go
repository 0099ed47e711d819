package netplumb

import (
	"encoding/binary"
	"net/netip"

	"golang.org/x/net/bpf"
	"golang.org/x/sys/unix"
)

// watched is what a guest's plan touches, as the kernel's messages name it.
type watched struct {
	address    netip.Addr // the guest's
	tap        int        // interface numbers; 0 for none
	uplink     int
	uplinkName string
}

// Types and an attribute of linux/netconf.h, messages about the settings of
// interfaces.
const (
	rtmNewNetconf  = 80
	rtmDelNetconf  = 81
	netconfIfindex = 1
	sizeofNetconf  = 4 // struct netconfmsg with its padding
)

// Places in a message: its length, its type and what comes behind its header.
const (
	offsetType  = 4
	offsetFixed = unix.SizeofNlMsghdr
)

// Verdicts of a filter.
var (
	pass = bpf.RetConstant{Val: 1 << 16}
	drop = bpf.RetConstant{Val: 0}
)

// filter lets through what concerns this guest: where hundreds run, none is
// woken by what happens to the others. A datagram of several messages passes.
// The kernel runs it before it queues a message (classic BPF with the extension
// for netlink attributes, Linux Documentation/networking/filter.rst).
func (w watched) filter() []bpf.Instruction {
	program := passSeveral()
	program = append(program, bpf.LoadAbsolute{Off: offsetType, Size: 2})
	for _, kind := range []struct {
		added, deleted uint16
		judge          []bpf.Instruction
	}{
		{unix.RTM_NEWLINK, unix.RTM_DELLINK, w.passLink()},
		{unix.RTM_NEWADDR, unix.RTM_DELADDR, w.passAddress()},
		{unix.RTM_NEWROUTE, unix.RTM_DELROUTE, w.passRoute()},
		{unix.RTM_NEWNEIGH, unix.RTM_DELNEIGH, w.passNeighbour()},
		{rtmNewNetconf, rtmDelNetconf, w.passSettings()},
	} {
		program = append(program,
			bpf.JumpIf{Cond: bpf.JumpEqual, Val: half(kind.added), SkipTrue: 1},
			bpf.JumpIf{Cond: bpf.JumpNotEqual, Val: half(kind.deleted), SkipTrue: uint8(len(kind.judge))})
		program = append(program, kind.judge...)
	}
	return append(program, drop)
}

// half and whole are numbers in this machine's order as a filter, which loads
// them in the network's, sees them.
func half(v uint16) uint32 {
	return uint32(binary.BigEndian.Uint16(binary.NativeEndian.AppendUint16(nil, v)))
}

func whole(v uint32) uint32 {
	return binary.BigEndian.Uint32(binary.NativeEndian.AppendUint32(nil, v))
}

// passSeveral compares the first message's length, put together from its two
// lower bytes, with the datagram's.
func passSeveral() []bpf.Instruction {
	low, high := uint32(0), uint32(1)
	if half(1) == 1 { // this machine counts as the network does
		low, high = 3, 2
	}
	return []bpf.Instruction{
		bpf.LoadAbsolute{Off: high, Size: 1},
		bpf.ALUOpConstant{Op: bpf.ALUOpShiftLeft, Val: 8},
		bpf.TAX{},
		bpf.LoadAbsolute{Off: low, Size: 1},
		bpf.ALUOpX{Op: bpf.ALUOpOr},
		bpf.TAX{},
		bpf.LoadExtension{Num: bpf.ExtLen},
		bpf.JumpIfX{Cond: bpf.JumpEqual, SkipTrue: 1},
		pass,
	}
}

// passLink wants the tap or the uplink, also one that only now gets the
// uplink's name. Messages of other families are a bridge's about its ports.
func (w watched) passLink() []bpf.Instruction {
	program := append(onlyFamily(unix.AF_UNSPEC), w.passIndex(offsetFixed+4)...)
	if w.uplinkName == "" {
		return append(program, drop)
	}
	name := append([]byte(w.uplinkName), 0)
	return append(program, passAttribute(unix.SizeofIfInfomsg, unix.IFLA_IFNAME, name)...)
}

func (w watched) passAddress() []bpf.Instruction {
	program := append(onlyFamily(unix.AF_INET), w.passIndex(offsetFixed+4)...)
	return append(program, drop)
}

// passIndex passes where the word at an offset is the number of the tap or the
// uplink.
func (w watched) passIndex(offset uint32) []bpf.Instruction {
	return append([]bpf.Instruction{bpf.LoadAbsolute{Off: offset, Size: 4}}, w.passIfOurs()...)
}

// passIfOurs does the same for what has been loaded.
func (w watched) passIfOurs() []bpf.Instruction {
	return []bpf.Instruction{
		bpf.JumpIf{Cond: bpf.JumpEqual, Val: whole(uint32(w.tap)), SkipTrue: 1},
		bpf.JumpIf{Cond: bpf.JumpNotEqual, Val: whole(uint32(w.uplink)), SkipTrue: 1},
		pass,
	}
}

// passRoute wants a /32 to the guest, in whatever table.
func (w watched) passRoute() []bpf.Instruction {
	program := append(onlyFamily(unix.AF_INET),
		bpf.LoadAbsolute{Off: offsetFixed + 1, Size: 1},
		bpf.JumpIf{Cond: bpf.JumpEqual, Val: 32, SkipTrue: 1},
		drop)
	return append(program, passAttribute(unix.SizeofRtMsg, unix.RTA_DST, w.address.AsSlice())...)
}

func (w watched) passNeighbour() []bpf.Instruction {
	return append(onlyFamily(unix.AF_INET), passAttribute(sizeofNdmsg, unix.NDA_DST, w.address.AsSlice())...)
}

func (w watched) passSettings() []bpf.Instruction {
	program := append(onlyFamily(unix.AF_INET), findAttribute(sizeofNetconf, netconfIfindex)...)
	program = append(program, bpf.LoadIndirect{Off: unix.SizeofRtAttr, Size: 4})
	program = append(program, w.passIfOurs()...)
	return append(program, drop)
}

// onlyFamily goes on if the message, whose fixed part begins with its family,
// is of that one.
func onlyFamily(family uint32) []bpf.Instruction {
	return []bpf.Instruction{
		bpf.LoadAbsolute{Off: offsetFixed, Size: 1},
		bpf.JumpIf{Cond: bpf.JumpEqual, Val: family, SkipTrue: 1},
		drop,
	}
}

// findAttribute puts an attribute's place into X, given the size of the fixed
// part before it, or drops what does not have it.
func findAttribute(fixed, typ uint32) []bpf.Instruction {
	return []bpf.Instruction{
		bpf.LoadConstant{Dst: bpf.RegX, Val: typ},
		bpf.LoadConstant{Dst: bpf.RegA, Val: offsetFixed + fixed},
		bpf.LoadExtension{Num: bpf.ExtNetlinkAttr},
		bpf.JumpIf{Cond: bpf.JumpNotEqual, Val: 0, SkipTrue: 1},
		drop,
		bpf.TAX{},
	}
}

// passAttribute passes where an attribute begins with these bytes, and drops
// the rest.
func passAttribute(fixed, typ uint32, want []byte) []bpf.Instruction {
	program := findAttribute(fixed, typ)
	for at := 0; at < len(want); {
		size := 4
		for size > len(want)-at {
			size /= 2
		}
		value := uint32(0)
		for _, b := range want[at : at+size] {
			value = value<<8 | uint32(b)
		}
		program = append(program,
			bpf.LoadIndirect{Off: uint32(unix.SizeofRtAttr + at), Size: size},
			bpf.JumpIf{Cond: bpf.JumpEqual, Val: value, SkipTrue: 1},
			drop)
		at += size
	}
	return append(program, pass)
}
