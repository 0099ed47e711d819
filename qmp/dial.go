package qmp

import (
	"context"
	"errors"
	"fmt"
	"net"
	"syscall"
)

// Dial connects to the monitor at the Unix socket path and shakes hands with
// QEMU. It tries once; ctx bounds all of it. Since the greeting comes when
// QEMU's main loop starts, Dial may be called as soon as the socket listens.
//
// Errors: what the operating system says (no such file, connection refused),
// [ErrBusy], [ErrHangup], [ErrNotQMP], [ErrProtocol], a [CommandError], and the
// context's error.
func Dial(ctx context.Context, path string) (*Client, error) {
	var d net.Dialer
	conn, err := d.DialContext(ctx, "unix", path)
	if err != nil {
		return nil, dialError(ctx, path, err)
	}
	c, err := New(ctx, conn.(*net.UnixConn))
	if err != nil {
		return nil, fmt.Errorf("monitor %s: %w", path, err)
	}
	return c, nil
}

// dialError explains why nothing could be connected to.
func dialError(ctx context.Context, path string, err error) error {
	const longest = len(syscall.RawSockaddrUnix{}.Path) - 1
	switch {
	case ctx.Err() != nil:
		err = contextError(ctx)
	case len(path) > longest:
		err = fmt.Errorf("path has %d bytes, a Unix socket's may have %d: use a shorter directory: %w", len(path), longest, err)
	case errors.Is(err, syscall.EAGAIN):
		// The listening socket's queue is full: others are waiting already.
		err = ErrBusy
	}
	return fmt.Errorf("connect to monitor %s: %w", path, err)
}
