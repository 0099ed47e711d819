package qmp

import (
	"context"
	"errors"
	"io"
	"net"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"
)

// FuzzPeer plays a hostile peer: any bytes, in pieces of any size, then the end
// of the stream. The client neither blocks nor panics, its errors are those it
// documents, and what it keeps is bounded. Where polite is set, the peer shakes
// hands first.
func FuzzPeer(f *testing.F) {
	const greeting = `{"QMP": {"version": {"qemu": {"micro": 3, "minor": 2, "major": 7}, "package": ""}, "capabilities": []}}` + "\r\n"
	const welcome = `{"return": {}}` + "\r\n"
	const event = `{"event": "STOP", "timestamp": {"seconds": 1, "microseconds": 2}, "data": {"a": [1, "x"]}}` + "\r\n"
	for _, seed := range []string{
		"", "\n", greeting, greeting + welcome, greeting + event + welcome + event,
		greeting + `{"error": {"class": "GenericError", "desc": "no"}}` + "\n",
		greeting + welcome + `{"return": "value", "id": 1}` + "\n" + event,
		greeting + welcome + `{"error": {"class": "CommandNotFound", "desc": "no"}, "id": 1}` + "\n",
		greeting + welcome + strings.Repeat(event, 50),
		`{"QMP": {"version": 3}}` + "\n", "\x00\x01\n", strings.Repeat("[", 2000) + "\n",
		greeting + welcome + `{"event": "X", "data": {"x": "` + strings.Repeat("x", 2000) + `"}}` + "\n",
	} {
		f.Add([]byte(seed), uint16(7), false)
		f.Add([]byte(strings.TrimPrefix(strings.TrimPrefix(seed, greeting), welcome)), uint16(4000), true)
	}
	f.Fuzz(func(t *testing.T, stream []byte, step uint16, polite bool) {
		if polite {
			stream = append([]byte(greeting+welcome), stream...)
		}
		conn, ended := hostile(t, stream, 1+int(step))
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		c, err := New(ctx, conn)
		if err == nil {
			err = converse(ctx, t, c)
		}
		if err != nil {
			checkTyped(t, err)
		}
		<-ended
	})
}

// hostile returns one end of a connection whose other end says stream, step
// bytes at a time, and hangs up. ended is closed when it has.
func hostile(t *testing.T, stream []byte, step int) (conn *net.UnixConn, ended <-chan struct{}) {
	t.Helper()
	fds, err := syscall.Socketpair(syscall.AF_UNIX, syscall.SOCK_STREAM|syscall.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	var ends [2]*net.UnixConn
	for i, fd := range fds {
		file := os.NewFile(uintptr(fd), "peer")
		end, err := net.FileConn(file)
		_ = file.Close()
		if err != nil {
			t.Fatal(err)
		}
		ends[i] = end.(*net.UnixConn)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		for len(stream) > 0 {
			n, err := ends[1].Write(stream[:min(step, len(stream))])
			if err != nil {
				break // the client has left
			}
			stream = stream[n:]
		}
		_ = ends[1].CloseWrite()
		_, _ = io.Copy(io.Discard, ends[1]) // what the client says, until it leaves
		_ = ends[1].Close()
	}()
	return ends[0], done
}

// converse asks a peer something, takes its events and leaves. It returns the
// error of the call.
func converse(ctx context.Context, t *testing.T, c *Client) error {
	t.Helper()
	sub := c.Subscribe(4)
	_, err := c.ExecuteRaw(ctx, "query-status", nil)
	_ = c.Close()
	select {
	case <-c.Done():
	case <-ctx.Done():
		t.Fatal("the client does not end")
	}
	heard := 0
	for range sub.C {
		heard++
	}
	if heard > 4 || len(c.calls) > 0 || len(c.feed.early) > earlyEvents {
		t.Fatalf("%d events and %d calls are kept, %d early ones", heard, len(c.calls), len(c.feed.early))
	}
	checkTyped(t, c.Err())
	return err
}

// checkTyped fails the test unless err is one of those that Dial, Execute and
// Err document; the deadline is not among them, for nothing may block.
func checkTyped(t *testing.T, err error) {
	t.Helper()
	var refusal *CommandError
	for _, known := range []error{ErrHangup, ErrNotQMP, ErrProtocol, ErrClosed} {
		if errors.Is(err, known) {
			return
		}
	}
	if !errors.As(err, &refusal) {
		t.Fatalf("an error of no known kind: %v", err)
	}
}
