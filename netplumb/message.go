package netplumb

import (
	"encoding/binary"
	"iter"

	"golang.org/x/sys/unix"
)

// message is a netlink message under construction: its header, the fixed part
// of its family and attributes (Linux Documentation/userspace-api/netlink).
type message struct{ b []byte }

// newMessage begins a request. The socket fills in the sequence number.
func newMessage(typ, flags uint16, fixed []byte) *message {
	m := &message{b: make([]byte, unix.SizeofNlMsghdr, 192)}
	binary.NativeEndian.PutUint16(m.b[4:], typ)
	binary.NativeEndian.PutUint16(m.b[6:], unix.NLM_F_REQUEST|flags)
	m.b = append(m.b, fixed...)
	m.pad()
	return m
}

func (m *message) pad() {
	for len(m.b)%unix.NLMSG_ALIGNTO != 0 {
		m.b = append(m.b, 0)
	}
}

// attr appends an attribute.
func (m *message) attr(typ uint16, data []byte) {
	m.b = binary.NativeEndian.AppendUint16(m.b, uint16(unix.SizeofRtAttr+len(data)))
	m.b = binary.NativeEndian.AppendUint16(m.b, typ)
	m.b = append(m.b, data...)
	m.pad()
}

func (m *message) attr8(typ uint16, v uint8) { m.attr(typ, []byte{v}) }

func (m *message) attr32(typ uint16, v uint32) {
	m.attr(typ, binary.NativeEndian.AppendUint32(nil, v))
}

func (m *message) attr64(typ uint16, v uint64) {
	m.attr(typ, binary.NativeEndian.AppendUint64(nil, v))
}

func (m *message) attrString(typ uint16, s string) { m.attr(typ, append([]byte(s), 0)) }

// nest appends an attribute that holds the attributes fill appends.
func (m *message) nest(typ uint16, fill func()) {
	start := len(m.b)
	m.attr(typ, nil)
	fill()
	binary.NativeEndian.PutUint16(m.b[start:], uint16(len(m.b)-start))
}

// attributes walks over attributes that the kernel sent. It ends early at
// anything malformed.
func attributes(b []byte) iter.Seq2[uint16, []byte] {
	return func(yield func(uint16, []byte) bool) {
		for len(b) >= unix.SizeofRtAttr {
			size := int(binary.NativeEndian.Uint16(b))
			typ := binary.NativeEndian.Uint16(b[2:]) &^ unix.NLA_F_NESTED
			if size < unix.SizeofRtAttr || size > len(b) || !yield(typ, b[unix.SizeofRtAttr:size]) {
				return
			}
			b = b[min(align(size), len(b)):]
		}
	}
}

// align rounds a length up as netlink does.
func align(n int) int { return (n + unix.NLMSG_ALIGNTO - 1) &^ (unix.NLMSG_ALIGNTO - 1) }
