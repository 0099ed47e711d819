package qmp_test

import (
	"context"
	"errors"
	"io/fs"
	"net"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"kvmrun/qmp"
)

func TestDialNothing(t *testing.T) {
	dir := t.TempDir()
	abandoned := filepath.Join(dir, "abandoned")
	listener, err := net.ListenUnix("unix", &net.UnixAddr{Name: abandoned, Net: "unix"})
	if err != nil {
		t.Fatal(err)
	}
	listener.SetUnlinkOnClose(false)
	_ = listener.Close()
	cancelled, cancel := context.WithCancel(context.Background())
	cancel()

	for name, tc := range map[string]struct {
		ctx  context.Context
		path string
		want error
	}{
		"no file":      {context.Background(), filepath.Join(dir, "missing"), fs.ErrNotExist},
		"no listener":  {context.Background(), abandoned, syscall.ECONNREFUSED},
		"long path":    {context.Background(), filepath.Join(dir, strings.Repeat("x", 108)), syscall.EINVAL},
		"ended before": {cancelled, abandoned, context.Canceled},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := qmp.Dial(tc.ctx, tc.path)
			if !errors.Is(err, tc.want) || !strings.Contains(err.Error(), tc.path) {
				t.Errorf("%v; want %v, and the path", err, tc.want)
			}
		})
	}
}

// QEMU's own listening sockets have a queue of one: who comes when others are
// waiting already must learn that at once.
func TestDialWhereOthersWait(t *testing.T) {
	path := filepath.Join(t.TempDir(), "qmp")
	fd, err := syscall.Socket(syscall.AF_UNIX, syscall.SOCK_STREAM|syscall.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = syscall.Close(fd) }()
	if err := syscall.Bind(fd, &syscall.SockaddrUnix{Name: path}); err != nil {
		t.Fatal(err)
	}
	if err := syscall.Listen(fd, 1); err != nil {
		t.Fatal(err)
	}
	for {
		conn, err := net.Dial("unix", path)
		if err != nil {
			break // the queue is full
		}
		defer conn.Close()
	}
	if _, err := qmp.Dial(context.Background(), path); !errors.Is(err, qmp.ErrBusy) {
		t.Errorf("%v, want %v", err, qmp.ErrBusy)
	}
}

func TestRealDialBeforeStart(t *testing.T) {
	g := prepareQEMU(t)
	conn, err := net.Dial("unix", g.socket)
	if err != nil {
		t.Fatal(err)
	}
	g.start(t)
	c, err := qmp.New(within(t, patience), conn.(*net.UnixConn))
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if err := c.Execute(within(t, patience), "query-status", nil, nil); err != nil {
		t.Error(err)
	}
}

// QEMU that gives up before it greets must end the wait, not the deadline.
func TestRealStartFails(t *testing.T) {
	g := prepareQEMU(t, "-device", "no-such-device")
	conn, err := net.Dial("unix", g.socket)
	if err != nil {
		t.Fatal(err)
	}
	g.start(t)
	if _, err := qmp.New(within(t, patience), conn.(*net.UnixConn)); !errors.Is(err, qmp.ErrHangup) {
		t.Errorf("%v, want %v", err, qmp.ErrHangup)
	}
}
