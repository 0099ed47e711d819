package dhcp

import (
	"context"
	"errors"
	"time"

	"golang.org/x/sys/unix"
)

// errGone says that the interface does not exist any more.
var errGone = errors.New("interface is gone")

// How often a server looks whether its interface, which is down, is up again
// or gone: at first soon, since an interface goes down on its way out.
const (
	firstLook = 5 * time.Millisecond
	lastLook  = 500 * time.Millisecond
)

// awaitLink returns when the interface is up again, or errGone when it is not
// there any more. The kernel tells a packet socket once that its interface
// went down, never that it was deleted after that (packet_notifier in
// net/packet/af_packet.c), so this has to look. The socket works again by
// itself once the interface is up.
func (s *Server) awaitLink(ctx context.Context) error {
	for pause := firstLook; ; pause = min(2*pause, lastLook) {
		up, err := s.linkUp()
		if up || err != nil {
			return err
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(pause):
		}
	}
}

// linkUp asks the socket itself, which knows its interface under any name and
// whatever namespace this thread is in.
func (s *Server) linkUp() (up bool, err error) {
	err = s.control(func(fd int) error {
		bound, err := unix.Getsockname(fd)
		if err != nil {
			return err
		}
		ll, ok := bound.(*unix.SockaddrLinklayer)
		if !ok || ll.Ifindex <= 0 {
			return errGone
		}
		up, err = interfaceUp(fd, ll.Ifindex)
		return err
	})
	return up, err
}

func interfaceUp(fd, index int) (bool, error) {
	request, err := unix.NewIfreq("")
	if err != nil {
		return false, err
	}
	request.SetUint32(uint32(index))
	if err := unix.IoctlIfreq(fd, unix.SIOCGIFNAME, request); err != nil {
		if errors.Is(err, unix.ENODEV) {
			return false, errGone
		}
		return false, err
	}
	// SIOCGIFNAME left the name where SIOCGIFFLAGS looks for it. If the name is
	// not there any more, the interface was renamed or deleted just now; the
	// next look will tell.
	err = unix.IoctlIfreq(fd, unix.SIOCGIFFLAGS, request)
	if errors.Is(err, unix.ENODEV) {
		return false, nil
	}
	return request.Uint16()&unix.IFF_UP != 0, err
}

// control runs f on the socket's descriptor.
func (s *Server) control(f func(fd int) error) error {
	raw, err := s.conn.SyscallConn()
	if err != nil {
		return err
	}
	var failed error
	if err := raw.Control(func(fd uintptr) { failed = f(int(fd)) }); err != nil {
		return err
	}
	return failed
}
