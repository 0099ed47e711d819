package netplumb

import (
	"encoding/binary"
	"errors"
	"fmt"
	"sync"

	"golang.org/x/sys/unix"
)

// rtnl is a NETLINK_ROUTE socket of the network namespace in which it was
// opened. The kernel answers a request before sendto returns, so it blocks for
// nothing but other holders of the RTNL lock. Safe for concurrent use.
//
// A socket of our own because plumbing needs what netlink libraries leave out:
// several requests in one system call, ownership tags on addresses and proxy
// entries, and look-ups of one entry where they would dump all.
type rtnl struct {
	mu  sync.Mutex
	fd  int
	seq uint32
	buf []byte
}

// receiveSize holds the largest part of a dump that the kernel sends at once.
const receiveSize = 32 << 10

func openRTNL() (*rtnl, error) {
	fd, err := unix.Socket(unix.AF_NETLINK, unix.SOCK_RAW|unix.SOCK_CLOEXEC, unix.NETLINK_ROUTE)
	if err != nil {
		return nil, fmt.Errorf("open a netlink socket: %w", err)
	}
	err = unix.Bind(fd, &unix.SockaddrNetlink{Family: unix.AF_NETLINK})
	// With strict checking the kernel filters dumps by interface and table;
	// the other two make its errors short and give them a text.
	for _, option := range []int{unix.NETLINK_GET_STRICT_CHK, unix.NETLINK_CAP_ACK, unix.NETLINK_EXT_ACK} {
		if err == nil {
			err = unix.SetsockoptInt(fd, unix.SOL_NETLINK, option, 1)
		}
	}
	if err != nil {
		_ = unix.Close(fd)
		return nil, fmt.Errorf("set up a netlink socket (Linux 5.0 or newer is needed): %w", err)
	}
	return &rtnl{fd: fd, buf: make([]byte, receiveSize)}, nil
}

func (r *rtnl) close() error { return unix.Close(r.fd) }

// change sends requests in one system call and waits until the kernel has
// answered each. It carries out all of them, whatever becomes of the first; the
// error is that of the first to fail.
func (r *rtnl) change(requests ...*message) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	first, err := r.send(unix.NLM_F_ACK, requests)
	if err != nil {
		return err
	}
	var failed error
	for left := len(requests); left > 0; {
		err := r.receive(first, func(typ uint16, _ uint16, body []byte) error {
			if typ == unix.NLMSG_ERROR {
				left--
				if err := kernelError(body); failed == nil {
					failed = err
				}
			}
			return nil
		})
		if err != nil {
			return err
		}
	}
	return failed
}

// batch sends requests in one system call and waits until the kernel has carried
// out all of them, whatever becomes of each; the error is the last one's. Unlike
// change it has no limit but the socket's sending buffer: the kernel answers
// before the system call returns, and would overflow the other one with
// acknowledgements of hundreds.
func (r *rtnl) batch(requests []*message) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	last := requests[len(requests)-1]
	binary.NativeEndian.PutUint16(last.b[6:], binary.NativeEndian.Uint16(last.b[6:])|unix.NLM_F_ACK)
	first, err := r.send(0, requests)
	if err != nil {
		return err
	}
	var failed error
	for done := false; !done; {
		err := r.receive(first+uint32(len(requests)-1), func(typ uint16, _ uint16, body []byte) error {
			if typ == unix.NLMSG_ERROR {
				done, failed = true, kernelError(body)
			}
			return nil
		})
		if err != nil {
			return err
		}
	}
	return failed
}

// query sends one request and hands each answer's body to each. The body is
// valid only during the call. A dump that the kernel reports as inconsistent is
// given as it is: whoever dumps here looks for something that others don't
// change under it.
func (r *rtnl) query(request *message, each func(body []byte)) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	first, err := r.send(0, []*message{request})
	if err != nil {
		return err
	}
	for done := false; !done; {
		err := r.receive(first, func(typ, flags uint16, body []byte) error {
			done = done || flags&unix.NLM_F_MULTI == 0
			switch typ {
			case unix.NLMSG_DONE:
				done = true
				if len(body) < 4 {
					return nil
				}
				// Unlike an error, the end echoes no header after its number.
				return kernelError(body[:4])
			case unix.NLMSG_ERROR:
				return kernelError(body)
			}
			each(body)
			return nil
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// send numbers the requests one after another and sends them as one datagram.
// It returns the first number.
func (r *rtnl) send(flags uint16, requests []*message) (uint32, error) {
	first := r.seq + 1
	var datagram []byte
	for _, m := range requests {
		r.seq++
		binary.NativeEndian.PutUint32(m.b, uint32(len(m.b)))
		binary.NativeEndian.PutUint16(m.b[6:], binary.NativeEndian.Uint16(m.b[6:])|flags)
		binary.NativeEndian.PutUint32(m.b[8:], r.seq)
		if len(requests) == 1 {
			datagram = m.b
		} else {
			datagram = append(datagram, m.b...)
		}
	}
	for {
		err := unix.Sendto(r.fd, datagram, 0, &unix.SockaddrNetlink{Family: unix.AF_NETLINK})
		if !errors.Is(err, unix.EINTR) {
			return first, err
		}
	}
}

// receive reads one datagram and hands each of its messages to each, until that
// fails, but for those that answer requests before first.
func (r *rtnl) receive(first uint32, each func(typ, flags uint16, body []byte) error) error {
	n, _, err := unix.Recvfrom(r.fd, r.buf, 0)
	if errors.Is(err, unix.EINTR) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("read the kernel's answer: %w", err)
	}
	return messages(r.buf[:n], first, each)
}

// messages cuts a datagram of the kernel's into messages.
func messages(b []byte, first uint32, each func(typ, flags uint16, body []byte) error) error {
	for len(b) >= unix.SizeofNlMsghdr {
		size := int(binary.NativeEndian.Uint32(b))
		if size < unix.SizeofNlMsghdr || size > len(b) {
			return fmt.Errorf("read the kernel's answer: %w", unix.EBADMSG)
		}
		typ, flags := binary.NativeEndian.Uint16(b[4:]), binary.NativeEndian.Uint16(b[6:])
		if seq := binary.NativeEndian.Uint32(b[8:]); seq >= first {
			if err := each(typ, flags, b[unix.SizeofNlMsghdr:size]); err != nil {
				return err
			}
		}
		b = b[min(align(size), len(b)):]
	}
	return nil
}

// nlmsgerrMsg is NLMSGERR_ATTR_MSG of linux/netlink.h.
const nlmsgerrMsg = 1

// kernelError reads an NLMSG_ERROR: nil for an acknowledgement, otherwise the
// error number with the kernel's explanation, if it gave one.
func kernelError(body []byte) error {
	if len(body) < 4 {
		return unix.EBADMSG
	}
	errno := -int32(binary.NativeEndian.Uint32(body))
	if errno == 0 {
		return nil
	}
	err := error(unix.Errno(errno))
	if len(body) < 4+unix.SizeofNlMsghdr {
		return err
	}
	for typ, data := range attributes(body[4+unix.SizeofNlMsghdr:]) {
		if typ == nlmsgerrMsg {
			return fmt.Errorf("%w (%s)", err, unix.ByteSliceToString(data))
		}
	}
	return err
}
