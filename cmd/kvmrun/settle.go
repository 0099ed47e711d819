package main

import (
	"context"
	"io"
	"net"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"
)

// quietTime is how long a console must say nothing to count as quiet, and
// settleInterval how often that is looked at.
const (
	quietTime      = 500 * time.Millisecond
	settleInterval = 10 * time.Millisecond
)

// activity passes on what is written and remembers when that was last.
type activity struct {
	w    io.Writer
	last atomic.Int64 // in nanoseconds since 1970
}

func (a *activity) Write(p []byte) (int, error) {
	a.last.Store(time.Now().UnixNano())
	return a.w.Write(p)
}

// settle waits until the guest has taken all that was sent, a few bytes at a
// time as a serial port does, and has had its say. Whoever leaves before takes
// the rest along.
func settle(ctx context.Context, conn *net.UnixConn, said *activity) error {
	ticker := time.NewTicker(settleInterval)
	defer ticker.Stop()
	since := time.Now()
	for {
		select {
		case <-ticker.C:
		case <-ctx.Done():
			return ctx.Err()
		}
		waiting, err := unread(conn)
		if err != nil {
			return err
		}
		if waiting > 0 {
			since = time.Now()
		}
		if time.Since(since) > quietTime && time.Since(time.Unix(0, said.last.Load())) > quietTime {
			return nil
		}
	}
}

// unread counts the bytes that were sent and not yet read at the other end
// (SIOCOUTQ, unix(7)).
func unread(conn *net.UnixConn) (n int, err error) {
	raw, err := conn.SyscallConn()
	if err != nil {
		return 0, err
	}
	var failed error
	err = raw.Control(func(fd uintptr) { n, failed = unix.IoctlGetInt(int(fd), unix.SIOCOUTQ) })
	if err == nil {
		err = failed
	}
	return n, err
}
