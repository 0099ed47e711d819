package qmp_test

import (
	"bufio"
	"encoding/json"
	"errors"
	"io"
	"net"
	"path/filepath"
	"syscall"
	"testing"

	"kvmrun/qmp"
)

const (
	greeting = `{"QMP": {"version": {"qemu": {"micro": 3, "minor": 2, "major": 7}, "package": "test"}, "capabilities": ["oob"]}}` + "\r\n"
	welcome  = `{"return": {}}` + "\r\n"
)

// A peer is the far end of a monitor connection, played by a test.
type peer struct {
	t     *testing.T
	conn  net.Conn
	lines *bufio.Reader
}

// listen starts a peer that plays its part on the first connection to the
// returned socket, and hangs up when it has played it.
func listen(t *testing.T, play func(*peer)) (socket string) {
	t.Helper()
	socket = filepath.Join(t.TempDir(), "qmp")
	listener, err := net.Listen("unix", socket)
	if err != nil {
		t.Fatal(err)
	}
	played := make(chan struct{})
	go func() {
		defer close(played)
		conn, err := listener.Accept()
		if err != nil {
			return // the test ended without connecting
		}
		defer conn.Close()
		play(&peer{t: t, conn: conn, lines: bufio.NewReader(conn)})
	}()
	t.Cleanup(func() {
		_ = listener.Close()
		<-played
	})
	return socket
}

// dialPeer connects to a peer that plays its part after a proper handshake.
func dialPeer(t *testing.T, play func(*peer)) *qmp.Client {
	t.Helper()
	socket := listen(t, func(p *peer) {
		p.send(greeting)
		p.receive()
		p.send(welcome)
		play(p)
	})
	c, err := qmp.Dial(within(t, patience), socket)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	return c
}

// A request is a command as the peer sees it.
type request struct {
	Execute   string
	ID        json.RawMessage
	Arguments json.RawMessage
}

// send sends text in one piece. It reports whether anyone was there to take it.
func (p *peer) send(text string) bool {
	_, err := io.WriteString(p.conn, text)
	return err == nil
}

// receive returns the next command; a zero one if the client has gone.
func (p *peer) receive() request {
	line, err := p.lines.ReadBytes('\n')
	if err != nil {
		return request{}
	}
	var r request
	if err := json.Unmarshal(line, &r); err != nil {
		p.t.Errorf("the client sent %q: %v", line, err)
	}
	return r
}

// peek waits until a command has come, and leaves it unread.
func (p *peer) peek() {
	raw, err := p.conn.(*net.UnixConn).SyscallConn()
	if err != nil {
		p.t.Error(err)
		return
	}
	if err := raw.Read(func(fd uintptr) bool {
		_, _, err = syscall.Recvfrom(int(fd), make([]byte, 1), syscall.MSG_PEEK)
		return !errors.Is(err, syscall.EAGAIN)
	}); err != nil {
		p.t.Error(err)
	}
}

// discard reads until the client has gone.
func (p *peer) discard() {
	_, _ = io.Copy(io.Discard, p.lines)
}

// answer sends a reply with the given value to r.
func (p *peer) answer(r request, value string) bool {
	return p.send(`{"return": ` + value + `, "id": ` + string(r.ID) + "}\r\n")
}
