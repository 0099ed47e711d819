package netplumb

import (
	"encoding/binary"
	"errors"
	"slices"
	"testing"

	"golang.org/x/sys/unix"
)

// answer is a message as the kernel sends it.
type answer struct {
	typ, flags uint16
	seq        uint32
	body       []byte
	size       uint32 // what its header says, if not the truth
}

func (a answer) bytes() []byte {
	size := uint32(unix.SizeofNlMsghdr + len(a.body))
	if a.size != 0 {
		size = a.size
	}
	b := binary.NativeEndian.AppendUint32(nil, size)
	b = binary.NativeEndian.AppendUint16(b, a.typ)
	b = binary.NativeEndian.AppendUint16(b, a.flags)
	b = binary.NativeEndian.AppendUint32(b, a.seq)
	b = binary.NativeEndian.AppendUint32(b, 0)
	return append(b, a.body...)
}

// result is the body of an NLMSG_ERROR; 0 acknowledges.
func result(errno unix.Errno) []byte {
	return append(binary.NativeEndian.AppendUint32(nil, uint32(-int32(errno))), make([]byte, unix.SizeofNlMsghdr)...)
}

// fakeKernel is a socket whose next request has number 7, and on which the
// datagrams wait. It fails, rather than block, when they are used up.
func fakeKernel(t *testing.T, datagrams ...[]answer) *rtnl {
	t.Helper()
	fds, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_SEQPACKET|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = unix.Close(fds[0]); _ = unix.Close(fds[1]) })
	for _, answers := range datagrams {
		var datagram []byte
		for _, a := range answers {
			datagram = append(datagram, a.bytes()...)
		}
		if err := unix.Send(fds[1], datagram, 0); err != nil {
			t.Fatal(err)
		}
	}
	return &rtnl{fd: fds[0], seq: 6, buf: make([]byte, receiveSize)}
}

func request() *message { return newMessage(unix.RTM_GETLINK, 0, nil) }

func ack(seq uint32, errno unix.Errno) answer {
	return answer{typ: unix.NLMSG_ERROR, seq: seq, body: result(errno)}
}

// TestAnswersToAChange includes those to an earlier request, whose sender gave
// up half way.
func TestAnswersToAChange(t *testing.T) {
	for _, c := range []struct {
		name      string
		requests  int
		datagrams [][]answer
		want      error
	}{
		{"acknowledged", 1, [][]answer{{ack(7, 0)}}, nil},
		{"refused", 1, [][]answer{{ack(7, unix.EEXIST)}}, unix.EEXIST},
		{"stale refusal before", 1, [][]answer{{ack(5, unix.EPERM)}, {ack(7, 0)}}, nil},
		{"stale refusal in front", 1, [][]answer{{ack(6, unix.EPERM), ack(7, 0)}}, nil},
		{"stale acknowledgement", 1, [][]answer{{ack(6, 0)}, {ack(7, unix.EEXIST)}}, unix.EEXIST},
		{"the first to fail", 3, [][]answer{{ack(7, 0)}, {ack(8, unix.EEXIST)}, {ack(9, unix.ENODEV)}}, unix.EEXIST},
		{"all in one", 2, [][]answer{{ack(7, 0), ack(8, unix.ENODEV)}}, unix.ENODEV},
		{"each is awaited", 2, [][]answer{{ack(7, 0)}}, unix.EAGAIN},
		{"cut", 1, [][]answer{{{typ: unix.NLMSG_ERROR, seq: 7, body: result(0), size: 60}}}, unix.EBADMSG},
		{"shorter than its header", 1, [][]answer{{{typ: unix.NLMSG_ERROR, seq: 7, body: result(0), size: 4}}}, unix.EBADMSG},
		{"without a number", 1, [][]answer{{{typ: unix.NLMSG_ERROR, seq: 7, body: []byte{0, 0}}}}, unix.EBADMSG},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := fakeKernel(t, c.datagrams...)
			var requests []*message
			for range c.requests {
				requests = append(requests, request())
			}
			if err := r.change(requests...); !errors.Is(err, c.want) || (c.want == nil) != (err == nil) {
				t.Errorf("error %v, want %v", err, c.want)
			}
		})
	}
}

// TestAnswersToAQuery is the same for what is asked.
func TestAnswersToAQuery(t *testing.T) {
	part := func(seq uint32, text string) answer {
		return answer{typ: unix.RTM_NEWLINK, flags: unix.NLM_F_MULTI, seq: seq, body: []byte(text)}
	}
	end := func(seq uint32, errno unix.Errno) answer {
		return answer{typ: unix.NLMSG_DONE, flags: unix.NLM_F_MULTI, seq: seq, body: result(errno)[:4]}
	}
	cut := part(7, "link")
	cut.size = 4000
	for _, c := range []struct {
		name      string
		datagrams [][]answer
		want      []string
		err       error
	}{
		{"one", [][]answer{{{typ: unix.RTM_NEWLINK, seq: 7, body: []byte("eth0")}}}, []string{"eth0"}, nil},
		{"a dump", [][]answer{{part(7, "eth0"), part(7, "eth1")}, {part(7, "eth2")}, {end(7, 0)}}, []string{"eth0", "eth1", "eth2"}, nil},
		{"the rest of an earlier dump", [][]answer{{part(6, "old0"), end(6, 0)}, {part(7, "eth0")}, {end(7, 0)}}, []string{"eth0"}, nil},
		{"a dump that fails at its end", [][]answer{{part(7, "eth0")}, {end(7, unix.ENODEV)}}, []string{"eth0"}, unix.ENODEV},
		{"refused", [][]answer{{ack(7, unix.EPERM)}}, nil, unix.EPERM},
		{"cut", [][]answer{{part(7, "eth0"), cut}, {end(7, 0)}}, []string{"eth0"}, unix.EBADMSG},
		{"cut in its header", [][]answer{{{typ: unix.RTM_NEWLINK, seq: 7, size: 8}}}, nil, unix.EBADMSG},
	} {
		t.Run(c.name, func(t *testing.T) {
			var got []string
			err := fakeKernel(t, c.datagrams...).query(request(), func(body []byte) { got = append(got, string(body)) })
			if !errors.Is(err, c.err) || (c.err == nil) != (err == nil) {
				t.Errorf("error %v, want %v", err, c.err)
			}
			if !slices.Equal(got, c.want) {
				t.Errorf("answers %q, want %q", got, c.want)
			}
		})
	}
}
