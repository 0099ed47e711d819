package netplumb

import (
	"errors"
	"fmt"
	"os"

	"golang.org/x/sys/unix"
)

// tunDevice is where tap interfaces come from
// (Linux Documentation/networking/tuntap.rst).
const tunDevice = "/dev/net/tun"

// openTap is a tap under construction: its descriptors, one for each queue, and
// its interface number.
type openTap struct {
	queues []*os.File
	index  int
}

// close drops the descriptors, and with the last of them the kernel deletes the
// tap and everything on it.
func (t *openTap) close() {
	for _, f := range t.queues {
		_ = f.Close()
	}
	t.queues = nil
}

// open makes the interface. It never adopts one that exists.
func (t *openTap) open(c Config) error {
	for range c.Queues {
		f, err := openQueue(c, len(t.queues) == 0)
		if err != nil {
			return err
		}
		t.queues = append(t.queues, f)
	}
	// While its descriptor is open the name is sure to be this tap's.
	index, err := interfaceIndex(c.Tap)
	t.index = index
	return err
}

// interfaceIndex returns an interface's number: SIOCGIFINDEX costs a tenth of
// asking netlink for the whole interface.
func interfaceIndex(name string) (int, error) {
	fd, err := unix.Socket(unix.AF_UNIX, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return 0, fmt.Errorf("open a socket: %w", err)
	}
	defer func() { _ = unix.Close(fd) }()
	ifr, err := unix.NewIfreq(name)
	if err == nil {
		err = unix.IoctlIfreq(fd, unix.SIOCGIFINDEX, ifr)
	}
	if err != nil {
		return 0, fmt.Errorf("look up interface %s: %w", name, err)
	}
	return int(ifr.Uint32()), nil
}

// openQueue attaches a new descriptor to the tap. The first makes the tap; the
// others must find it.
func openQueue(c Config, first bool) (*os.File, error) {
	fd, err := unix.Open(tunDevice, unix.O_RDWR|unix.O_CLOEXEC, 0)
	if err != nil {
		err = fmt.Errorf("open %s: %w", tunDevice, err)
		if gone(err) {
			err = fmt.Errorf("%w: %w; load the module with modprobe tun", ErrNoTun, err)
		}
		return nil, err
	}
	ifr, err := unix.NewIfreq(c.Tap)
	if err != nil {
		_ = unix.Close(fd)
		return nil, fmt.Errorf("name tap %s: %w", c.Tap, err)
	}
	flags := uint16(unix.IFF_TAP | unix.IFF_NO_PI)
	if first {
		flags |= unix.IFF_TUN_EXCL
	}
	if c.VnetHdr {
		flags |= unix.IFF_VNET_HDR
	}
	if c.Queues > 1 {
		flags |= unix.IFF_MULTI_QUEUE
	}
	ifr.SetUint16(flags)
	if err := unix.IoctlIfreq(fd, unix.TUNSETIFF, ifr); err != nil {
		_ = unix.Close(fd)
		if errors.Is(err, unix.EBUSY) && first {
			return nil, fmt.Errorf("%w: TUNSETIFF %s: %w; remove it or choose another name", ErrTapExists, c.Tap, err)
		}
		err = fmt.Errorf("TUNSETIFF %s: %w", c.Tap, err)
		if errors.Is(err, unix.ENOTTY) {
			err = fmt.Errorf("%w: %s is none: %w; remove it and load the module with modprobe tun", ErrNoTun, tunDevice, err)
		}
		return nil, err
	}
	return os.NewFile(uintptr(fd), tunDevice), nil
}
