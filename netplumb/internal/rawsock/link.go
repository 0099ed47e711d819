package rawsock

import (
	"context"
	"errors"
	"net"
	"time"

	"golang.org/x/sys/unix"
)

// ErrGone says that the interface does not exist any more.
var ErrGone = errors.New("interface is gone")

// How often a reader looks whether its interface, which is down, is up again
// or gone: at first soon, since an interface goes down on its way out.
const (
	firstLook = 5 * time.Millisecond
	lastLook  = 500 * time.Millisecond
)

// awaitLink returns when the interface is up again, or ErrGone when it is not
// there any more. The kernel tells a packet socket once that its interface
// went down, never that it was deleted after that (packet_notifier in
// net/packet/af_packet.c), so this has to look. The socket works again by
// itself once the interface is up.
func (r *Reader) awaitLink(ctx context.Context) error {
	for pause := firstLook; ; pause = min(2*pause, lastLook) {
		up, err := r.linkUp()
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
func (r *Reader) linkUp() (up bool, err error) {
	err = r.control(func(fd int) error {
		bound, err := boundTo(fd)
		if err != nil {
			return err
		}
		up, err = interfaceUp(fd, bound.Ifindex)
		return err
	})
	return up, err
}

// MAC returns the MAC that the interface has at this moment (packet_getname in
// net/packet/af_packet.c). It fails with ErrGone when the interface is gone.
func (r *Reader) MAC() (mac net.HardwareAddr, err error) {
	err = r.control(func(fd int) error {
		bound, err := boundTo(fd)
		if err != nil {
			return err
		}
		if bound.Halen == 0 {
			return ErrGone
		}
		mac = net.HardwareAddr(bound.Addr[:bound.Halen])
		return nil
	})
	return mac, err
}

// boundTo is the interface that a socket is bound to.
func boundTo(fd int) (*unix.SockaddrLinklayer, error) {
	bound, err := unix.Getsockname(fd)
	if err != nil {
		return nil, err
	}
	ll, ok := bound.(*unix.SockaddrLinklayer)
	if !ok || ll.Ifindex <= 0 {
		return nil, ErrGone
	}
	return ll, nil
}

func interfaceUp(fd, index int) (bool, error) {
	request, err := unix.NewIfreq("")
	if err != nil {
		return false, err
	}
	request.SetUint32(uint32(index))
	if err := unix.IoctlIfreq(fd, unix.SIOCGIFNAME, request); err != nil {
		if errors.Is(err, unix.ENODEV) {
			return false, ErrGone
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
