package netplumb

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"runtime"
	"time"
	"unsafe"

	"golang.org/x/net/bpf"
	"golang.org/x/sys/unix"
)

// settleTime is how long a watch lets changes pile up before it tells of them:
// whoever changes one thing often changes the next at once. Up to as much again
// is added at random, so that many guests behind one uplink do not all look at
// the same instant.
const settleTime = 20 * time.Millisecond

// rtnetlink's multicast groups that a watch listens to (linux/rtnetlink.h).
const watchedGroups = 1<<(unix.RTNLGRP_LINK-1) | 1<<(unix.RTNLGRP_NEIGH-1) |
	1<<(unix.RTNLGRP_IPV4_IFADDR-1) | 1<<(unix.RTNLGRP_IPV4_ROUTE-1) | 1<<(unix.RTNLGRP_IPV4_NETCONF-1)

// Watch tells by a channel that something of the plan's may have changed on the
// host: the tap, its address, the routes and neighbours of the guest's address,
// the uplink, its addresses and settings. It does not tell what; Review and
// Repair find out. Several changes close together are told of once, 20 to 40 ms
// after the first.
//
// An uplink that is gone is watched for by its name, and by its new number once
// Watch is called again. The channel is closed when ctx ends. The watch holds a
// descriptor and a goroutine, but no thread.
//
// The kernel tells nobody of changes to proxy entries, of proxy_delay and of
// disable_ipv6 (seen on Linux 6.18): look at the plan from time to time as well.
func (p *Plan) Watch(ctx context.Context, h *Host) (<-chan struct{}, error) {
	if err := p.Check(); err != nil {
		return nil, err
	}
	w := watched{address: p.Config.Address, uplinkName: p.Config.Uplink}
	if l, err := h.rtnl.linkByName(p.Config.Tap); err == nil {
		w.tap = l.index
	}
	if l, err := p.uplinkLink(h); err == nil {
		w.uplink = l.index
	}
	socket, err := w.open()
	if err != nil {
		return nil, fmt.Errorf("watch %s: %w", p.Config.Tap, err)
	}
	changes := make(chan struct{}, 1)
	stop := context.AfterFunc(ctx, func() { _ = socket.Close() })
	go func() {
		defer close(changes)
		defer func() { stop(); _ = socket.Close() }()
		listen(ctx, socket, changes)
	}()
	return changes, nil
}

// open opens a netlink socket that hears what is watched alone.
func (w watched) open() (*os.File, error) {
	fd, err := unix.Socket(unix.AF_NETLINK, unix.SOCK_RAW|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, unix.NETLINK_ROUTE)
	if err != nil {
		return nil, fmt.Errorf("open a netlink socket: %w", err)
	}
	// First the filter: nothing that it would drop gets in.
	if err = attach(fd, w.filter()); err == nil {
		err = unix.Bind(fd, &unix.SockaddrNetlink{Family: unix.AF_NETLINK, Groups: watchedGroups})
	}
	if err != nil {
		_ = unix.Close(fd)
		return nil, fmt.Errorf("set up a netlink socket: %w", err)
	}
	return os.NewFile(uintptr(fd), "rtnetlink"), nil
}

// attach gives a socket its filter (SO_ATTACH_FILTER, socket(7)).
func attach(fd int, filter []bpf.Instruction) error {
	raw, err := bpf.Assemble(filter)
	if err != nil {
		return fmt.Errorf("assemble the filter: %w", err)
	}
	program := unix.SockFprog{Len: uint16(len(raw)), Filter: (*unix.SockFilter)(unsafe.Pointer(&raw[0]))}
	err = unix.SetsockoptSockFprog(fd, unix.SOL_SOCKET, unix.SO_ATTACH_FILTER, &program)
	runtime.KeepAlive(raw)
	return err
}

// listen tells of messages until the socket is closed.
func listen(ctx context.Context, socket *os.File, changes chan<- struct{}) {
	conn, err := socket.SyscallConn()
	if err != nil {
		return
	}
	var buf [1]byte // what a message says is not read
	for {
		if conn.Read(func(fd uintptr) bool { return hears(int(fd), buf[:]) }) != nil {
			return
		}
		select {
		case <-time.After(settleTime + rand.N(settleTime)):
		case <-ctx.Done():
			return
		}
		// The rest of the pile is told of together with the first.
		_ = conn.Control(func(fd uintptr) {
			for hears(int(fd), buf[:]) {
			}
		})
		select {
		case changes <- struct{}{}:
		default: // nobody has looked since the last time
		}
	}
}

// hears takes a message off the queue, if there is one. That the queue has
// overflowed (ENOBUFS) is as good as a message: whoever is told looks himself.
func hears(fd int, buf []byte) bool {
	for {
		_, _, err := unix.Recvfrom(fd, buf, 0)
		if !errors.Is(err, unix.EINTR) {
			return err == nil || errors.Is(err, unix.ENOBUFS)
		}
	}
}
