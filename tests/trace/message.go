package trace

import (
	"encoding/binary"
	"fmt"

	"golang.org/x/sys/unix"
)

// message is what sendto sends. Of a message to the kernel's network it has the
// type, as linux/rtnetlink.h numbers them; 0 if it is anything else.
type message struct{ kind uint16 }

// message reads the arguments of sendto: a netlink message begins with its own
// length (struct nlmsghdr).
func (e entry) message() message {
	var head [unix.NLMSG_HDRLEN]byte
	if e.read(e.args[1], head[:]) < len(head) || uintptr(binary.NativeEndian.Uint32(head[:])) != e.args[2] {
		return message{}
	}
	return message{binary.NativeEndian.Uint16(head[4:])}
}

// asks tells of a message whether the kernel only answers it: of the four types
// that each kind of object has, the third is the question.
func (m message) asks() bool { return m.kind >= unix.RTM_BASE && m.kind%4 == unix.RTM_GETLINK%4 }

// String is a type's name, of those that matter here.
func (m message) String() string {
	names := map[uint16]string{
		unix.RTM_NEWLINK: "RTM_NEWLINK", unix.RTM_DELLINK: "RTM_DELLINK",
		unix.RTM_NEWADDR: "RTM_NEWADDR", unix.RTM_DELADDR: "RTM_DELADDR",
		unix.RTM_NEWROUTE: "RTM_NEWROUTE", unix.RTM_DELROUTE: "RTM_DELROUTE",
		unix.RTM_NEWNEIGH: "RTM_NEWNEIGH", unix.RTM_DELNEIGH: "RTM_DELNEIGH",
	}
	switch name := names[m.kind]; {
	case name != "":
		return name
	case m.kind != 0:
		return fmt.Sprintf("netlink %d", m.kind)
	}
	return "…"
}
