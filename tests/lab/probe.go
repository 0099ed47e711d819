package lab

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"testing"
	"time"

	"golang.org/x/net/icmp"
	"golang.org/x/net/ipv4"
)

// pollInterval is how often a condition that has no event is looked at.
const pollInterval = 20 * time.Millisecond

// Eventually calls condition until it returns nil. It fails the test with the
// last error when that has not happened within timeout.
func Eventually(t testing.TB, timeout time.Duration, condition func() error) {
	t.Helper()
	if err := Within(timeout, condition); err != nil {
		t.Fatal(err)
	}
}

// Within calls condition until it returns nil. Its last error is returned when
// that has not happened within timeout.
func Within(timeout time.Duration, condition func() error) error {
	deadline := time.Now().Add(timeout)
	for {
		err := condition()
		if err == nil {
			return nil
		}
		if time.Now().After(deadline) {
			return fmt.Errorf("still not so after %v: %w", timeout, err)
		}
		time.Sleep(pollInterval)
	}
}

// WaitPing waits until address answers an ICMP echo request sent from the
// world, and returns how long that took.
func (w *World) WaitPing(t testing.TB, address string, timeout time.Duration) time.Duration {
	t.Helper()
	began := time.Now()
	Eventually(t, timeout, func() error { return w.Ping(address, 500*time.Millisecond) })
	return time.Since(began)
}

// Ping sends ICMP echo requests (RFC 792) from the world to an IPv4 address,
// one each 20 ms, until one is answered. The error says that none was within
// timeout, or why none could be sent.
func (w *World) Ping(address string, timeout time.Duration) error {
	to := &net.IPAddr{IP: net.ParseIP(address)}
	if to.IP == nil {
		return fmt.Errorf("ping %s: not an IP address", address)
	}
	var conn *icmp.PacketConn
	err := w.InNet(func() (err error) {
		conn, err = icmp.ListenPacket("ip4:icmp", "0.0.0.0")
		return err
	})
	if err != nil {
		return fmt.Errorf("ping %s: %w", address, err)
	}
	defer func() { _ = conn.Close() }()
	// What is sent back tells this call's answers from others': a raw
	// socket receives all of the namespace's.
	payload := fmt.Appendf(nil, "kvmrun lab %p", conn)
	id := os.Getpid() & 0xffff
	var sendErr error
	for deadline := time.Now().Add(timeout); time.Now().Before(deadline); {
		request := icmp.Message{Type: ipv4.ICMPTypeEcho, Body: &icmp.Echo{ID: id, Seq: 1, Data: payload}}
		packet, err := request.Marshal(nil)
		if err != nil {
			return fmt.Errorf("ping %s: %w", address, err)
		}
		_, sendErr = conn.WriteTo(packet, to)
		if answered(conn, to.IP, payload, time.Now().Add(pollInterval)) {
			return nil
		}
	}
	if sendErr != nil {
		return fmt.Errorf("ping %s: %w", address, sendErr)
	}
	return fmt.Errorf("ping %s: no answer within %v", address, timeout)
}

// answered reads until the wanted echo reply has come or the deadline passes.
func answered(conn *icmp.PacketConn, from net.IP, payload []byte, deadline time.Time) bool {
	if err := conn.SetReadDeadline(deadline); err != nil {
		return false
	}
	buf := make([]byte, 1500)
	for {
		n, peer, err := conn.ReadFrom(buf)
		if err != nil {
			if errors.Is(err, os.ErrDeadlineExceeded) {
				return false
			}
			// An unreachable address is reported here, once per
			// request; the pause then has to come from elsewhere.
			time.Sleep(time.Until(deadline))
			return false
		}
		const icmpProtocol = 1
		reply, err := icmp.ParseMessage(icmpProtocol, buf[:n])
		if err != nil || reply.Type != ipv4.ICMPTypeEchoReply {
			continue
		}
		echo, ok := reply.Body.(*icmp.Echo)
		if ok && bytes.Equal(echo.Data, payload) && peer.(*net.IPAddr).IP.Equal(from) {
			return true
		}
	}
}

// Dial connects from the world to address, which names the host by its IP.
func (w *World) Dial(ctx context.Context, network, address string) (net.Conn, error) {
	var conn net.Conn
	err := w.InNet(func() (err error) {
		conn, err = new(net.Dialer).DialContext(ctx, network, address)
		return err
	})
	return conn, err
}

// Listen listens in the world.
func (w *World) Listen(network, address string) (net.Listener, error) {
	var l net.Listener
	err := w.InNet(func() (err error) {
		l, err = net.Listen(network, address)
		return err
	})
	return l, err
}

// WaitTCP waits until a TCP connection from the world to address (IP and
// port) is accepted, and returns it. The test closes it.
func (w *World) WaitTCP(t testing.TB, address string, timeout time.Duration) net.Conn {
	t.Helper()
	var conn net.Conn
	Eventually(t, timeout, func() error {
		ctx, cancel := context.WithTimeout(context.Background(), time.Second)
		defer cancel()
		var err error
		conn, err = w.Dial(ctx, "tcp", address)
		return err
	})
	t.Cleanup(func() { _ = conn.Close() })
	return conn
}
