// Package rawsock reads from a packet socket that stays open for as long as a
// guest lives: whatever the other side sends costs a bounded amount of memory
// and time, and the interface may go down and up again meanwhile.
package rawsock

import (
	"context"
	"errors"
	"fmt"

	"github.com/mdlayher/packet"
	"golang.org/x/sys/unix"
)

// Reader reads from a packet socket, which stays its opener's to close.
type Reader struct {
	conn  *packet.Conn
	limit *Limit
}

// NewReader bounds what the kernel keeps for the socket, in bytes, which the
// kernel doubles for its bookkeeping, and how often Read returns a frame.
func NewReader(conn *packet.Conn, buffer int, rate Rate) (*Reader, error) {
	r := &Reader{conn: conn, limit: NewLimit(rate)}
	if err := r.control(func(fd int) error {
		return unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_RCVBUF, buffer)
	}); err != nil {
		return nil, fmt.Errorf("bound the receive buffer: %w", err)
	}
	return r, nil
}

// Read waits for its turn and then for a frame. Waiting before the read bounds
// what a flood costs: frames that nobody reads wake nobody, and the kernel
// drops what the buffer has no room for. It fails with ErrGone when the
// interface is gone, and with the context's error when that ends while it waits
// for its turn or for the interface; a read itself ends when the socket is closed.
func (r *Reader) Read(ctx context.Context, frame []byte) (int, error) {
	if err := r.limit.Wait(ctx); err != nil {
		return 0, err
	}
	for {
		n, _, err := r.conn.ReadFrom(frame)
		if !errors.Is(err, unix.ENETDOWN) {
			return n, err
		}
		if err := r.awaitLink(ctx); err != nil {
			return 0, err
		}
	}
}

// control runs f on the socket's descriptor.
func (r *Reader) control(f func(fd int) error) error {
	raw, err := r.conn.SyscallConn()
	if err != nil {
		return err
	}
	var failed error
	if err := raw.Control(func(fd uintptr) { failed = f(int(fd)) }); err != nil {
		return err
	}
	return failed
}
