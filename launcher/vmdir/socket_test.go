package vmdir

import (
	"context"
	"errors"
	"net"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// busySocket is a socket on which nobody accepts and whose backlog is full.
func busySocket(t *testing.T) (Dir, net.Listener) {
	t.Helper()
	dir := newRoot(t, "web").Dir("web")
	socket, err := dir.Listen(MonitorSocket)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = socket.Close() })
	listener, err := net.FileListener(socket)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = listener.Close() })
	if err := unix.Listen(int(socket.Fd()), 1); err != nil { // as QEMU does
		t.Fatal(err)
	}
	for n := 0; ; n++ {
		conn, err := net.Dial("unix", dir.File(MonitorSocket))
		if errors.Is(err, unix.EAGAIN) {
			return dir, listener
		}
		if err != nil || n > 100 {
			t.Fatalf("connection %d: %v, want EAGAIN in the end", n, err)
		}
		t.Cleanup(func() { _ = conn.Close() })
	}
}

func TestDialWaitsForRoom(t *testing.T) {
	dir, listener := busySocket(t)
	dialled := make(chan error)
	go func() {
		conn, err := dir.Dial(t.Context(), MonitorSocket)
		if err == nil {
			_ = conn.Close()
		}
		dialled <- err
	}()
	select {
	case err := <-dialled:
		t.Fatalf("done while there is no room: %v", err)
	case <-time.After(5 * lastPause): // long enough for some attempts
	}
	conn, err := listener.Accept()
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close() }()
	if err := <-dialled; err != nil {
		t.Errorf("with room again: %v", err)
	}
}

func TestDialEndsWithItsContext(t *testing.T) {
	dir, _ := busySocket(t)
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	if _, err := dir.Dial(ctx, MonitorSocket); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("got %v, want that the time is over", err)
	}
}
