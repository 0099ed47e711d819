package dns

import (
	"context"
	"net"
	"net/netip"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

const (
	// mostConnections is how many a guest may have at a time.
	mostConnections = 8
	// idleTime is how long a connection may say nothing.
	idleTime = 10 * time.Second
)

// listenTCP opens a socket that only what comes in by the interface can reach. Its
// port is any: steer leads connections to it.
func listenTCP(name string, addr netip.Addr) (*net.TCPListener, error) {
	config := net.ListenConfig{Control: func(_, _ string, c syscall.RawConn) (err error) {
		if failed := c.Control(func(fd uintptr) {
			if err = unix.BindToDevice(int(fd), name); err == nil {
				// In a LAN the address may be another by now.
				err = unix.SetsockoptInt(int(fd), unix.IPPROTO_IP, unix.IP_FREEBIND, 1)
			}
		}); failed != nil {
			return failed
		}
		return err
	}}
	config.SetMultipathTCP(false) // its sockets cannot be steered to
	listener, err := config.Listen(context.Background(), "tcp4", netip.AddrPortFrom(addr, 0).String())
	if err != nil {
		return nil, err
	}
	return listener.(*net.TCPListener), nil
}

// serveTCP takes connections until the listener is closed.
func (s *Server) serveTCP(ctx context.Context) {
	slots := make(chan struct{}, mostConnections)
	for {
		conn, err := s.listener.Accept()
		if err != nil {
			if ctx.Err() != nil || s.closed.Load() {
				return
			}
			if s.limit.Wait(ctx) != nil { // of descriptors there may be some again later
				return
			}
			continue
		}
		select {
		case slots <- struct{}{}:
			go func() {
				defer func() { <-slots }()
				s.converse(ctx, conn)
			}()
		default:
			_ = conn.Close()
		}
	}
}

// converse answers a connection's questions, one after another.
func (s *Server) converse(ctx context.Context, conn net.Conn) {
	defer func() { _ = conn.Close() }()
	stop := context.AfterFunc(ctx, func() { _ = conn.SetDeadline(time.Now()) })
	defer stop()
	for ctx.Err() == nil {
		if conn.SetDeadline(time.Now().Add(idleTime)) != nil {
			return
		}
		message, err := readFramed(conn)
		if err != nil || s.limit.Wait(ctx) != nil {
			return
		}
		q, err := parse(message)
		if err != nil {
			return
		}
		answer, ok := judge(q, s.cfg.Names)
		if !ok {
			answer = s.ask(ctx, "tcp", q)
		}
		if len(answer) == 0 {
			return
		}
		if _, err := conn.Write(frame(answer)); err != nil {
			return
		}
	}
}
