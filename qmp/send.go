package qmp

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"syscall"
)

// send writes one command, with a file beside it unless f is nil, and returns
// the call to wait for.
func (c *Client) send(ctx context.Context, command string, args []byte, f *os.File) (*call, error) {
	if err := ctx.Err(); err != nil {
		return nil, contextError(ctx)
	}
	select {
	case c.writing <- struct{}{}:
		defer func() { <-c.writing }()
	case <-ctx.Done():
		return nil, fmt.Errorf("not sent: QEMU does not read its monitor: %w", contextError(ctx))
	}
	p, err := c.register(command)
	if err != nil {
		return nil, err
	}
	release := interrupt(ctx, c.conn.SetWriteDeadline)
	defer release()
	line := appendCommand(nil, command, p.id, args)
	n, err := c.write(line, f)
	if err == nil {
		return p, nil
	}
	c.withdraw(p)
	return nil, c.sendError(ctx, n, err)
}

// write sends a line in one system call, if the socket has room for it.
func (c *Client) write(line []byte, f *os.File) (int, error) {
	if f == nil {
		return c.conn.Write(line)
	}
	n, err := c.writeWithFile(line, f)
	if err != nil || n == len(line) {
		return n, err
	}
	m, err := c.conn.Write(line[n:])
	return n + m, err
}

// writeWithFile sends as much of line as the socket has room for, with f's
// descriptor attached to its first byte.
func (c *Client) writeWithFile(line []byte, f *os.File) (n int, err error) {
	// Not f.Fd(): that would make the caller's file a blocking one.
	raw, err := f.SyscallConn()
	if err != nil {
		return 0, err
	}
	closed := raw.Control(func(fd uintptr) {
		n, _, err = c.conn.WriteMsgUnix(line, syscall.UnixRights(int(fd)), nil)
	})
	if closed != nil { // the one reason it has; not os.ErrClosed by itself
		return 0, fmt.Errorf("file %s: %w", f.Name(), os.ErrClosed)
	}
	if err == nil && n == 0 {
		err = io.ErrShortWrite
	}
	return n, err
}

// sendError explains a failed write of which n bytes went out. Half a command
// in the stream would garble the next one, so it ends the connection.
func (c *Client) sendError(ctx context.Context, n int, err error) error {
	if reason := c.reason(); reason != nil {
		return reason
	}
	switch {
	case errors.Is(err, syscall.EPIPE), errors.Is(err, syscall.ECONNRESET):
		// Left to the reader to end it: QEMU's last words may still be unread.
		return ErrHangup
	case errors.Is(err, os.ErrDeadlineExceeded):
		err = fmt.Errorf("not sent: QEMU does not read its monitor: %w", contextError(ctx))
	default:
		err = fmt.Errorf("send: %w", err)
	}
	if n > 0 {
		_ = c.fail(fmt.Errorf("a command was cut short: %w", err))
	}
	return err
}
