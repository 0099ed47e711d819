package supervisor

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"os"

	"golang.org/x/sys/unix"

	"kvmrun/launcher"
)

// starter is whoever started this supervisor and waits for it.
type starter struct{ conn *net.UnixConn }

func newStarter(socket *os.File) (*starter, error) {
	conn, err := net.FileConn(socket)
	_ = socket.Close()
	if err != nil {
		return nil, fmt.Errorf("kvmrun starts supervisors by itself: %w", err)
	}
	stream, ok := conn.(*net.UnixConn)
	if !ok {
		return nil, errors.New("the starter's descriptor is not a Unix socket; kvmrun starts supervisors by itself")
	}
	return &starter{stream}, nil
}

var errNoLock = errors.New("order without a lock")

// maxOrder bounds an order, in bytes: two paths and a name.
const maxOrder = 64 << 10

// order waits for the order and the lock that comes with it. It fails with
// io.EOF if the starter needs no supervisor after all.
func (s *starter) order() (o launcher.Order, lock *os.File, err error) {
	text := make([]byte, maxOrder)
	rights := make([]byte, unix.CmsgSpace(4))
	n, rn, _, _, err := s.conn.ReadMsgUnix(text, rights)
	if err != nil {
		return o, nil, err
	}
	if n == 0 {
		return o, nil, io.EOF
	}
	if err := json.Unmarshal(text[:n], &o); err != nil {
		return o, nil, fmt.Errorf("order: %w", err)
	}
	messages, err := unix.ParseSocketControlMessage(rights[:rn])
	if err != nil || len(messages) != 1 {
		return o, nil, errors.Join(errNoLock, err)
	}
	fds, err := unix.ParseUnixRights(&messages[0])
	if err != nil || len(fds) != 1 {
		return o, nil, errors.Join(errNoLock, err)
	}
	unix.CloseOnExec(fds[0])
	return o, os.NewFile(uintptr(fds[0]), "lock"), nil
}

// errGivenUp says that the starter closed its side before the VM ran.
var errGivenUp = errors.New("whoever started the VM has given up")

// watch returns a context that ends when the starter gives up, which it does
// by closing its side of the connection, unless it never meant to wait.
func (s *starter) watch(detached bool) (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithCancelCause(context.Background())
	if !detached {
		go func() {
			_, _ = io.Copy(io.Discard, s.conn)
			cancel(errGivenUp)
		}()
	}
	return ctx, func() { cancel(context.Canceled) }
}

// report tells the starter how it went, why not all could be undone if it had to
// be, and whether this supervisor ends. A starter that is gone does not mind.
func (s *starter) report(failure, undone error, over bool) {
	r := launcher.Report{Over: over}
	if undone != nil {
		r.Leftover = oneLine(undone)
	}
	if failure != nil {
		r.Error = &launcher.Error{Kind: launcher.KindOf(failure), Err: failure}
		var e *launcher.Error
		if errors.As(failure, &e) {
			r.Error.Op, r.Error.Err, r.Error.Advice = e.Op, e.Err, e.Advice
		}
	}
	_ = json.NewEncoder(s.conn).Encode(r)
	_ = s.close()
}

func (s *starter) close() error { return s.conn.Close() }
