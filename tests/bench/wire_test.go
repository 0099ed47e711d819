package bench

import (
	"context"
	"fmt"
	"io"
	"net"
	"testing"
	"time"

	"kvmrun/tests/lab"
)

// The test guest's TCP services, see tests/guest/build.sh.
const (
	echoPort    = 7
	discardPort = 9
	zerosPort   = 19
)

const (
	rampUp  = 200 * time.Millisecond // TCP's windows grow, buffers fill
	stretch = time.Second            // that is measured
)

func (g guest) dial(port int) (net.Conn, error) {
	ctx, cancel := within(10 * time.Second)
	defer cancel()
	return g.lan.Dial(ctx, "tcp", fmt.Sprintf("%s:%d", g.ip, port+g.offset))
}

func (g guest) mustDial(b *testing.B, port int) net.Conn {
	conn, err := g.dial(port)
	if err == nil {
		err = conn.SetDeadline(time.Now().Add(30 * time.Second))
	}
	if err != nil {
		b.Fatal(err)
	}
	return conn
}

// await waits until the guest's echo answers: QEMU's user network accepts
// connections before the guest does.
func (g guest) await(b *testing.B) {
	lab.Eventually(b, 60*time.Second, func() error {
		conn, err := g.dial(echoPort)
		if err != nil {
			return err
		}
		defer func() { _ = conn.Close() }()
		if err := conn.SetDeadline(time.Now().Add(time.Second)); err != nil {
			return err
		}
		return ping(conn)
	})
}

// ping sends a byte and waits for its echo.
func ping(conn net.Conn) error {
	buf := []byte{'k'}
	if _, err := conn.Write(buf); err != nil {
		return err
	}
	_, err := io.ReadFull(conn, buf)
	return err
}

// roundTrip is the median of some hundred, in seconds.
func roundTrip(b *testing.B, g guest) float64 {
	conn := g.mustDial(b, echoPort)
	defer func() { _ = conn.Close() }()
	var found samples
	for range 300 {
		found = append(found, taking(func() {
			if err := ping(conn); err != nil {
				b.Fatal(err)
			}
		}))
	}
	return found.median()
}

// sending is the rate in bits per second at which the guest takes data.
func sending(b *testing.B, g guest) float64 {
	conn := g.mustDial(b, discardPort)
	defer func() { _ = conn.Close() }()
	return rate(b, conn.Write)
}

// receiving is the rate in bits per second at which the guest gives data.
func receiving(b *testing.B, g guest) float64 {
	conn := g.mustDial(b, zerosPort)
	defer func() { _ = conn.Close() }()
	return rate(b, conn.Read)
}

// rate measures a stretch of transfers in bits per second.
func rate(b *testing.B, transfer func([]byte) (int, error)) float64 {
	buf := make([]byte, 128<<10)
	run := func(limit time.Duration) (bytes int, taken time.Duration) {
		for began := time.Now(); taken < limit; taken = time.Since(began) {
			n, err := transfer(buf)
			if err != nil {
				b.Fatal(err)
			}
			bytes += n
		}
		return bytes, taken
	}
	run(rampUp)
	bytes, taken := run(stretch)
	return float64(bytes) * 8 / taken.Seconds()
}

// within is a context that ends after a time.
func within(limit time.Duration) (context.Context, context.CancelFunc) {
	return context.WithTimeoutCause(context.Background(), limit, fmt.Errorf("not within %v", limit))
}
