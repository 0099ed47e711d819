package launcher

import (
	"bufio"
	"context"
	"errors"
	"io"
	"net"
	"net/netip"
	"strings"
	"syscall"
	"time"
)

// How a port is tried. A guest that drops what comes to a closed port lets an
// attempt hang, so the next does not wait for it: one that begins after the server
// listens is answered at once.
const (
	knockInterval = 50 * time.Millisecond // from one attempt to the next
	connectTime   = 2 * time.Second       // for one that hangs
	greetTime     = 10 * time.Second      // for a server that was reached to greet
)

// An SSH server's port, and how its first own line begins (RFC 4253, section 4.2).
const (
	sshPort     = 22
	sshGreeting = "SSH-"
)

// dialer makes one attempt to connect.
type dialer func(context.Context) (net.Conn, error)

// dialTCP connects to a TCP port of an address.
func dialTCP(ip netip.Addr, port uint16) dialer {
	to := netip.AddrPortFrom(ip, port).String()
	return func(ctx context.Context) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, "tcp", to)
	}
}

// knock returns nil as soon as a server can be connected to, and says the greeting
// if one is given. When the context ends first, its error is why the last attempt
// failed.
func knock(ctx context.Context, dial dialer, greeting string) error {
	// An attempt that the deadline itself ends says nothing of the server.
	trying, cancel := context.WithCancel(context.WithoutCancel(ctx))
	defer cancel()
	k := knocking{dial: dial, greeting: greeting, results: make(chan knocked), last: errNoAnswer}
	ticker := time.NewTicker(knockInterval)
	defer ticker.Stop()
	for {
		if !k.inside {
			go k.try(trying)
		}
		for again := false; !again; {
			select {
			case r := <-k.results:
				if r.err == nil && k.enter(trying, r) {
					return nil
				}
				if r.err != nil {
					k.last, k.inside = r.err, k.inside && !r.greeted
				}
			case <-ticker.C:
				again = true
			case <-ctx.Done():
				return k.last
			}
		}
	}
}

// knocking are the attempts at one port.
type knocking struct {
	dial     dialer
	greeting string
	results  chan knocked
	last     error // why it is not so yet
	inside   bool  // one is connected and waits for the greeting: others would only be in its way
}

// knocked is what came of one step of an attempt.
type knocked struct {
	conn    net.Conn // connected, for enter to close
	greeted bool     // it was about the greeting
	err     error
}

// try makes one attempt to connect.
func (k *knocking) try(ctx context.Context) {
	limited, cancel := context.WithTimeout(ctx, connectTime)
	defer cancel()
	conn, err := k.dial(limited)
	k.tell(ctx, knocked{conn: conn, err: plainly(err)})
}

// tell hands over a result, if anybody still wants it.
func (k *knocking) tell(ctx context.Context, r knocked) {
	select {
	case k.results <- r:
	case <-ctx.Done():
		if r.conn != nil {
			_ = r.conn.Close()
		}
	}
}

// enter takes a step that succeeded, and tells whether it was the last.
func (k *knocking) enter(ctx context.Context, r knocked) bool {
	if r.greeted {
		return true
	}
	if k.greeting == "" || k.inside {
		_ = r.conn.Close()
		return k.greeting == ""
	}
	k.inside, k.last = true, errNoGreeting
	go func() {
		err := hearGreeting(ctx, r.conn, k.greeting)
		_ = r.conn.Close()
		k.tell(ctx, knocked{greeted: true, err: plainly(err)})
	}()
	return false
}

// maxGreeting is how many bytes may come before a greeting's end. A server may say
// other lines first.
const maxGreeting = 16 << 10

// What can be said of a server that is not there, or is not the one.
var (
	errNoAnswer   = errors.New("no answer")
	errNoGreeting = errors.New("it does not greet")
)

// hearGreeting reads until a line begins with the greeting.
func hearGreeting(ctx context.Context, conn net.Conn, greeting string) error {
	defer context.AfterFunc(ctx, func() { _ = conn.Close() })()
	if err := conn.SetReadDeadline(time.Now().Add(greetTime)); err != nil {
		return err
	}
	lines := bufio.NewReader(io.LimitReader(conn, maxGreeting))
	for {
		line, err := lines.ReadString('\n')
		switch {
		case err == nil && strings.HasPrefix(line, greeting):
			return nil
		case errors.Is(err, io.EOF):
			return errNoGreeting
		case err != nil:
			return err
		}
	}
}

// plainly is why an attempt failed, in few words.
func plainly(err error) error {
	var number syscall.Errno
	var timeout interface{ Timeout() bool }
	switch {
	case errors.As(err, &timeout) && timeout.Timeout():
		return errNoAnswer
	case errors.As(err, &number):
		return number
	}
	return err
}
