package qmp

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"sync"
	"syscall"
	"time"
)

// A Client is a connection to QEMU's monitor, past the handshake. Its methods
// may be called by any number of goroutines. Close it when done with it.
type Client struct {
	conn    *net.UnixConn
	version Version
	writing chan struct{} // holds a token while a command is being written
	failed  chan struct{} // closed when err is set
	done    chan struct{} // closed when reading has ended, err is final and all are told

	mu     sync.Mutex
	err    error            // why the connection ended or is about to; the first reason stays
	lastID uint64           // number of the youngest call
	calls  map[uint64]*call // written or being written, not yet answered
	feed   feed
}

// New shakes hands with the QEMU at the other end of conn: it awaits the
// greeting and leaves negotiation mode, all bounded by ctx. It may be called
// before QEMU runs, on a connection that waits in a listening socket's queue.
// If QEMU never comes, the connection ends when the last process that holds
// the listening socket closes it, so the launcher must not keep a copy open.
//
// The connection belongs to the client from then on; it is closed if New fails.
// Errors are those of [Dial].
func New(ctx context.Context, conn *net.UnixConn) (*Client, error) {
	c := &Client{
		conn:    conn,
		writing: make(chan struct{}, 1),
		failed:  make(chan struct{}),
		done:    make(chan struct{}),
		calls:   make(map[uint64]*call),
	}
	lines := newLineReader(conn, maxGreeting)
	if err := c.handshake(ctx, lines); err != nil {
		_ = conn.Close() // the handshake's error is the one that matters
		return nil, err
	}
	lines.max = MaxMessage
	go c.read(lines)
	return c, nil
}

// Version returns QEMU's version from the greeting.
func (c *Client) Version() Version { return c.version }

// Done returns a channel that is closed when the connection has ended, for
// whatever reason, and every call under way has been told.
func (c *Client) Done() <-chan struct{} { return c.done }

// Err returns nil until Done is closed and then why the connection ended:
// ErrHangup (QEMU went), ErrClosed (Close was called), ErrProtocol, or what the
// operating system said.
func (c *Client) Err() error {
	select {
	case <-c.done:
		return c.reason()
	default:
		return nil
	}
}

// Close ends the connection: calls under way fail with ErrClosed, the channels
// of subscriptions are closed. QEMU itself runs on. Close returns when all that
// has happened; it may be called more than once, and never waits for QEMU.
func (c *Client) Close() error {
	err := c.fail(ErrClosed)
	<-c.done
	return err
}

// reason returns why the connection ended or is about to, nil if it is well.
func (c *Client) reason() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.err
}

// fail records why the connection ends and ends it, which wakes the reader.
func (c *Client) fail(reason error) error {
	c.mu.Lock()
	if c.err == nil {
		c.err = reason
		close(c.failed)
	}
	c.mu.Unlock()
	if err := c.conn.Close(); !errors.Is(err, net.ErrClosed) {
		return err
	}
	return nil
}

// read deals with everything the peer sends until the connection ends, then
// tells all who wait for more. It is the only goroutine of a client.
func (c *Client) read(lines *lineReader) {
	var pace pace
	for {
		line, err := lines.next()
		if err != nil {
			_ = c.fail(readError(err))
			break
		}
		if err := c.dispatch(line); err != nil {
			_ = c.fail(err)
			break
		}
		c.wait(pace.take(len(line), time.Now()))
	}
	c.mu.Lock()
	c.failCalls(c.err)
	c.feed.end()
	c.mu.Unlock()
	close(c.done)
}

// wait makes the peer wait before it is read on.
func (c *Client) wait(pause time.Duration) {
	if pause <= 0 {
		return
	}
	select {
	case <-time.After(pause):
	case <-c.failed:
	}
}

// dispatch hands one line to whom it concerns. It never waits for a receiver.
func (c *Client) dispatch(line []byte) error {
	if len(line) == 0 {
		return nil
	}
	m, err := parseMessage(line)
	if err != nil {
		return err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	switch {
	case m.Event != "":
		if err := c.feed.publish(m); err != nil {
			return protocolError(line, err)
		}
	case m.isReply():
		c.answer(m)
	}
	return nil
}

// readError says in the package's terms why a read failed.
func readError(err error) error {
	switch {
	case errors.Is(err, io.EOF), errors.Is(err, syscall.ECONNRESET):
		// A Unix socket is reset if its peer dies with commands unread.
		return ErrHangup
	case errors.Is(err, io.ErrUnexpectedEOF):
		return fmt.Errorf("%w in the middle of a message (%w)", ErrHangup, err)
	case errors.Is(err, errLineTooLong):
		return protocolError(nil, err)
	}
	return err
}
