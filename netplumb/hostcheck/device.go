package hostcheck

import (
	"errors"
	"fmt"
	"io/fs"

	"golang.org/x/sys/unix"
)

// Tun checks that taps can be made: /dev/net/tun opens and is a tun device.
func (h Host) Tun() Result {
	const name = "tun"
	err := h.withDevice("dev/net/tun", func(fd int) error {
		_, err := unix.IoctlGetInt(fd, unix.TUNGETFEATURES)
		return err
	})
	switch {
	case err == nil:
		return ok(name, "/dev/net/tun is usable")
	case errors.Is(err, fs.ErrNotExist):
		return fail(name, "modprobe tun", "/dev/net/tun is missing: no guest can have a tap (in a container, the device must be passed in)")
	case errors.Is(err, fs.ErrPermission):
		return fail(name, "", "%v: no guest can have a tap; run as root or, in a container, allow the device", err)
	default:
		return fail(name, "modprobe tun", "%v: no guest can have a tap", err)
	}
}

// VhostNet checks that packets can pass between guest and tap inside the
// kernel, without waking QEMU.
func (h Host) VhostNet() Result {
	const name, slow = "vhost-net", "every packet passes through QEMU"
	err := h.withDevice("dev/vhost-net", func(int) error { return nil })
	switch {
	case err == nil:
		return ok(name, "/dev/vhost-net is usable")
	case errors.Is(err, fs.ErrNotExist):
		return warn(name, "modprobe vhost_net", "/dev/vhost-net is missing: %s", slow)
	case errors.Is(err, fs.ErrPermission):
		return warn(name, `usermod --append --groups kvm "$USER"`, "%v: %s", err, slow)
	default:
		return warn(name, "modprobe vhost_net", "%v: %s", err, slow)
	}
}

// withDevice opens a device and runs f on it. The error names the device and
// what was attempted.
func (h Host) withDevice(path string, f func(fd int) error) error {
	fd, err := unix.Open(h.path(path), unix.O_RDWR|unix.O_CLOEXEC|unix.O_NONBLOCK, 0)
	if err != nil {
		return &fs.PathError{Op: "open", Path: "/" + path, Err: err}
	}
	defer func() { _ = unix.Close(fd) }() // nothing was written
	if err := f(fd); err != nil {
		return fmt.Errorf("ask /%s what it is: %w", path, err)
	}
	return nil
}
