package qmp

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"time"
)

// maxGreeting is the longest line, in bytes, taken from a peer that has not
// shown yet that it speaks QMP.
const maxGreeting = 64 << 10

// leaveNegotiation is the command that ends capability negotiation. It enables
// none: passing files needs none, and out-of-band execution is not used.
const leaveNegotiation = `{"execute":"qmp_capabilities"}` + "\n"

// handshake brings a fresh connection into command mode.
//
// The command that leaves negotiation is sent at once instead of after the
// greeting. It waits in the socket until QEMU looks, which is after it greeted,
// and saves a turn of QEMU's main loop.
func (c *Client) handshake(ctx context.Context, lines *lineReader) error {
	release := interrupt(ctx, c.conn.SetDeadline)
	defer release()

	// Should the peer have gone, reading finds out, and its last words too.
	_, _ = io.WriteString(c.conn, leaveNegotiation)

	m, err := nextMessage(lines)
	switch {
	case err != nil:
		return greetingError(ctx, lines, err)
	case m.Greeting == nil:
		return fmt.Errorf("%w: its first message has no member \"QMP\"", ErrNotQMP)
	}
	c.version = m.Greeting.Version

	for {
		m, err := nextMessage(lines)
		switch {
		case err != nil:
			return fmt.Errorf("qmp_capabilities: %w", handshakeError(ctx, err))
		case m.Event != "":
			if err := c.feed.publish(m); err != nil {
				return fmt.Errorf("%w: %w", ErrProtocol, err)
			}
		case m.isReply():
			_, err := m.outcome("qmp_capabilities")
			return err
		}
	}
}

// nextMessage reads the next message, blank lines aside.
func nextMessage(lines *lineReader) (*message, error) {
	for {
		line, err := lines.next()
		if err != nil {
			return nil, readError(err)
		}
		if len(line) > 0 {
			return parseMessage(line)
		}
	}
}

// greetingError explains why there was no greeting.
func greetingError(ctx context.Context, lines *lineReader, err error) error {
	heard := lines.partial()
	switch {
	case errors.Is(err, os.ErrDeadlineExceeded) && heard == nil && errors.Is(ctx.Err(), context.DeadlineExceeded):
		return fmt.Errorf("%w: %w", ErrBusy, contextError(ctx))
	case errors.Is(err, os.ErrDeadlineExceeded) && heard == nil:
		return fmt.Errorf("no greeting yet: %w", contextError(ctx))
	case errors.Is(err, os.ErrDeadlineExceeded):
		return fmt.Errorf("%w: it began with %.60q: %w", ErrNotQMP, heard, contextError(ctx))
	case errors.Is(err, ErrProtocol):
		return fmt.Errorf("%w: %w", ErrNotQMP, err)
	case errors.Is(err, ErrHangup):
		return fmt.Errorf("no greeting: %w", err)
	}
	return fmt.Errorf("read greeting: %w", err)
}

// handshakeError puts the context's error in place of the timeout it caused.
func handshakeError(ctx context.Context, err error) error {
	if errors.Is(err, os.ErrDeadlineExceeded) {
		return contextError(ctx)
	}
	return err
}

// interrupt makes the end of ctx expire a deadline of the connection, which
// ends I/O that blocks. The caller must call release when the I/O has ended; it
// removes the deadline again.
func interrupt(ctx context.Context, setDeadline func(time.Time) error) (release func()) {
	if ctx.Done() == nil {
		return func() {}
	}
	expired := make(chan struct{})
	stop := context.AfterFunc(ctx, func() {
		defer close(expired)
		_ = setDeadline(time.Unix(1, 0)) // fails on a closed connection only
	})
	return func() {
		if !stop() {
			<-expired
			_ = setDeadline(time.Time{})
		}
	}
}
