package qmp_test

import (
	"errors"
	"io"
	"net"
	"os"
	"strings"
	"syscall"
	"testing"

	"kvmrun/qmp"
)

// receiveFile reads one command and the one file that must come with it.
func (p *peer) receiveFile(length int) (string, *os.File) {
	line, oob := make([]byte, length), make([]byte, 256)
	n, oobn, _, _, err := p.conn.(*net.UnixConn).ReadMsgUnix(line, oob)
	if err != nil {
		p.t.Error(err)
		return "", nil
	}
	messages, err := syscall.ParseSocketControlMessage(oob[:oobn])
	if err != nil || len(messages) != 1 {
		p.t.Errorf("control messages %v, %v", messages, err)
		return "", nil
	}
	fds, err := syscall.ParseUnixRights(&messages[0])
	if err != nil || len(fds) != 1 {
		p.t.Errorf("descriptors %v, %v", fds, err)
		return "", nil
	}
	return string(line[:n]), os.NewFile(uintptr(fds[0]), "received")
}

func TestFileTravelsWithItsCommand(t *testing.T) {
	c := dialPeer(t, func(p *peer) {
		line, f := p.receiveFile(4096)
		if f == nil {
			return
		}
		if want := `{"execute":"getfd","id":1,"arguments":{"fdname":"tap"}}` + "\n"; line != want {
			t.Errorf("received %q, want %q", line, want)
		}
		if _, err := io.WriteString(f, "through it"); err != nil {
			t.Error(err)
		}
		_ = f.Close() // or the pipe would not end
		p.send(`{"return": {}, "id": 1}` + "\n")
		p.discard()
	})
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	if err := c.PassFile(within(t, patience), "tap", w); err != nil {
		t.Fatal(err)
	}
	if !nonblocking(t, w) {
		t.Error("the caller's file was made a blocking one")
	}
	if err := w.Close(); err != nil { // the caller's own still
		t.Error(err)
	}
	if got, err := io.ReadAll(r); err != nil || string(got) != "through it" {
		t.Errorf("%q, %v", got, err)
	}
}

// nonblocking reports whether f's descriptor is in non-blocking mode.
func nonblocking(t *testing.T, f *os.File) bool {
	t.Helper()
	raw, err := f.SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	var flags uintptr
	var errno syscall.Errno
	if err := raw.Control(func(fd uintptr) {
		flags, _, errno = syscall.Syscall(syscall.SYS_FCNTL, fd, syscall.F_GETFL, 0)
	}); err != nil || errno != 0 {
		t.Fatal(err, errno)
	}
	return flags&syscall.O_NONBLOCK != 0
}

// A command longer than the socket's buffer leaves in pieces; the file goes
// with the first, and the rest follows.
func TestFileWithLongCommand(t *testing.T) {
	long := strings.Repeat("x", 4<<20)
	c := dialPeer(t, func(p *peer) {
		_, f := p.receiveFile(1)
		if f == nil {
			return
		}
		_ = f.Close()
		rest, err := p.lines.ReadString('\n')
		if want := `"execute":"getfd","id":1,"arguments":{"fdname":"` + long + `"}}` + "\n"; err != nil || rest != want {
			t.Errorf("received %d bytes, %v; want %d", len(rest), err, len(want))
		}
		p.send(`{"return": {}, "id": 1}` + "\n")
		p.discard()
	})
	if err := c.PassFile(within(t, patience), long, os.Stdin); err != nil {
		t.Error(err)
	}
}

func TestClosedFileIsNotPassed(t *testing.T) {
	c := dialPeer(t, func(p *peer) {
		p.answer(p.receive(), `{}`)
		p.discard()
	})
	f, err := os.Open(os.DevNull)
	if err != nil {
		t.Fatal(err)
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	if err := c.PassFile(within(t, patience), "null", f); !errors.Is(err, os.ErrClosed) {
		t.Errorf("closed file: %v", err)
	}
	if err := c.Execute(within(t, patience), "query-status", nil, nil); err != nil {
		t.Errorf("the connection after that: %v", err)
	}
	if n := c.Unanswered(); n != 0 {
		t.Errorf("%d calls are remembered that were never sent", n)
	}
	_ = c.Close()
	if err := c.PassFile(within(t, patience), "null", os.Stdin); !errors.Is(err, qmp.ErrClosed) {
		t.Errorf("closed client: %v", err)
	}
}
