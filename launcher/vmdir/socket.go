package vmdir

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"time"

	"golang.org/x/sys/unix"
)

// Listen makes a listening Unix socket in the folder and returns its
// descriptor, for QEMU to accept on. It is bound by way of the folder's
// descriptor, because sun_path holds 108 bytes and run directories and names
// may be longer (unix(7)).
func (d Dir) Listen(name string) (*os.File, error) {
	folder, err := os.Open(d.Path)
	if err != nil {
		return nil, err
	}
	defer func() { _ = folder.Close() }()
	fd, err := unix.Socket(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, fmt.Errorf("socket: %w", err)
	}
	file := os.NewFile(uintptr(fd), d.File(name))
	if err := unix.Bind(fd, &unix.SockaddrUnix{Name: through(folder, name)}); err != nil {
		_ = file.Close()
		return nil, fmt.Errorf("bind %s: %w", d.File(name), err)
	}
	// Whoever connects before QEMU is there waits in the backlog. QEMU, which
	// serves one client at a time, listens anew with a backlog of 1: see Dial.
	if err := unix.Listen(fd, 16); err != nil {
		_ = file.Close()
		return nil, fmt.Errorf("listen on %s: %w", d.File(name), err)
	}
	return file, nil
}

// Pauses between two attempts to get into a socket's backlog. They grow, so
// that many clients do not keep a processor busy.
const (
	firstPause = time.Millisecond
	lastPause  = 50 * time.Millisecond
)

// Dial connects to a socket of the folder. While its backlog is full it tries
// again until ctx is done: the kernel lets few wait on QEMU's sockets, and
// refuses the others at once (EAGAIN, connect(2)).
func (d Dir) Dial(ctx context.Context, name string) (net.Conn, error) {
	folder, err := os.Open(d.Path)
	if err != nil {
		return nil, err
	}
	defer func() { _ = folder.Close() }()
	var dialer net.Dialer
	for pause := firstPause; ; pause = min(2*pause, lastPause) {
		conn, err := dialer.DialContext(ctx, "unix", through(folder, name))
		if errors.Is(err, unix.EAGAIN) {
			select {
			case <-time.After(pause):
				continue
			case <-ctx.Done():
				err = fmt.Errorf("others are connected and wait: %w", ctx.Err())
			}
		}
		if err != nil {
			return nil, fmt.Errorf("connect to %s: %w", d.File(name), err)
		}
		return conn, nil
	}
}

// through is a short path to a file in an open folder.
func through(folder *os.File, name string) string {
	return fmt.Sprintf("/proc/self/fd/%d/%s", folder.Fd(), name)
}
