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
	"kvmrun/launcher/disks"
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

// order is what a supervisor is told, with the locks that come with it.
type order struct {
	launcher.Order
	lock  *os.File // that makes the VM supervised
	disks *os.File // of what is kept of its disks; nil if nothing is, or QEMU has it already
}

// order waits for the order. It fails with io.EOF if the starter needs no supervisor
// after all.
func (s *starter) order() (o order, err error) {
	text := make([]byte, maxOrder)
	rights := make([]byte, unix.CmsgSpace(2*4))
	n, rn, _, _, err := s.conn.ReadMsgUnix(text, rights)
	if err != nil {
		return o, err
	}
	if n == 0 {
		return o, io.EOF
	}
	if err := json.Unmarshal(text[:n], &o.Order); err != nil {
		return o, fmt.Errorf("order: %w", err)
	}
	messages, err := unix.ParseSocketControlMessage(rights[:rn])
	if err != nil || len(messages) != 1 {
		return o, errors.Join(errNoLock, err)
	}
	fds, err := unix.ParseUnixRights(&messages[0])
	if err != nil || len(fds) == 0 {
		return o, errors.Join(errNoLock, err)
	}
	for _, fd := range fds {
		unix.CloseOnExec(fd)
	}
	o.lock = os.NewFile(uintptr(fds[0]), "lock")
	if len(fds) > 1 {
		o.disks = os.NewFile(uintptr(fds[1]), disks.At(o.DataDir).Folder(o.Name))
	}
	return o, nil
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
