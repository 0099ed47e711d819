package launcher

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"kvmrun/launcher/vmdir"
)

// A supervisor is a process of its own, which this process starts and talks to
// over a socket: one Order goes out with the VM folder's lock beside it, one
// Report comes back.

// Mode is what a supervisor does first.
type Mode string

// The modes of a supervisor.
const (
	ModeLaunch Mode = "launch" // bring the VM up
	ModeAdopt  Mode = "adopt"  // take over a running VM, or bury a dead one
)

// Order tells a supervisor which VM is its own.
type Order struct {
	Mode    Mode   `json:"mode"`
	RunDir  string `json:"run_dir"`
	DataDir string `json:"data_dir"`
	Name    string `json:"name"`
	// Detached says that nobody waits for the report: the end of the
	// connection means nothing then.
	Detached bool `json:"detached,omitempty"`
	// Again says that the VM was stopped to be started again.
	Again bool `json:"again,omitempty"`
}

// Report is what a supervisor says, once, to whoever started it.
type Report struct {
	Error *Error `json:"error,omitempty"` // nil: it did what it was ordered to
	// Over says that there is no VM to look after: the supervisor ends.
	Over bool `json:"over,omitempty"`
	// Leftover says why not all could be undone; empty if it was, or if
	// nothing had to be.
	Leftover string `json:"leftover,omitempty"`
}

// undoTime bounds how long a supervisor may take to undo everything after it
// was told that nobody waits any more.
const undoTime = 30 * time.Second

// SuperviseWord is the one argument of a kvmrun that is to be a supervisor.
const SuperviseWord = "supervise"

// attendant is a supervisor process that has got no order yet, or has just got
// one.
type attendant struct {
	conn    *net.UnixConn
	ordered bool
	ended   <-chan struct{} // closed when the process has been reaped
}

// hire starts a supervisor process. It is started before there is an order for
// it, so that its own start and the caller's preparations go side by side.
func (l *Launcher) hire() (*attendant, error) {
	ours, theirs, err := pair()
	if err != nil {
		return nil, err
	}
	defer func() { _ = theirs.Close() }()
	cmd := l.supervisor()
	cmd.Dir = "/"
	cmd.ExtraFiles = []*os.File{theirs}
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	if err := cmd.Start(); err != nil {
		_ = ours.Close()
		return nil, fmt.Errorf("start a supervisor: %w", err)
	}
	ended := make(chan struct{})
	go func() {
		_ = cmd.Wait()
		close(ended)
	}()
	return &attendant{conn: ours, ended: ended}, nil
}

// Self is the program that this process runs, even if it was deleted or replaced.
const Self = "/proc/self/exe"

// supervisor is the command that becomes a supervisor. It shows the path where this
// program was, whichever is executed.
func (l *Launcher) supervisor() *exec.Cmd {
	cmd := exec.Command(Self, SuperviseWord)
	path, err := os.Executable()
	if err == nil {
		cmd.Args[0] = path
	}
	switch {
	case l.exe != "":
		cmd.Path = l.exe
	case err == nil && sameFile(path, Self):
		cmd.Path = path // by which the kernel names the process
	}
	return cmd
}

func sameFile(a, b string) bool {
	one, err := os.Stat(a)
	if err != nil {
		return false
	}
	other, err := os.Stat(b)
	return err == nil && os.SameFile(one, other)
}

// close lets go of the supervisor. Without an order it ends, and is waited for,
// so that a start which failed leaves no process behind.
func (a *attendant) close() {
	_ = a.conn.Close()
	if !a.ordered {
		<-a.ended
	}
}

// order hands the VM's folder over, with the lock that makes it supervised, and that of
// the disks which are kept of it, if there is one. They are the supervisor's from then on.
func (a *attendant) order(o Order, lock, disks *os.File) error {
	defer func() { _ = lock.Close() }()
	fds := []int{int(lock.Fd())}
	if disks != nil {
		defer func() { _ = disks.Close() }()
		fds = append(fds, int(disks.Fd()))
	}
	text, err := json.Marshal(o)
	if err != nil {
		return err
	}
	rights := unix.UnixRights(fds...)
	if _, _, err := a.conn.WriteMsgUnix(append(text, '\n'), rights, nil); err != nil {
		return fmt.Errorf("order a supervisor: %w", err)
	}
	a.ordered = true
	return nil
}

// await waits for the supervisor's report. If the context ends first, it
// closes its side, by which the supervisor knows that it has to undo
// everything, and waits for that.
func (a *attendant) await(ctx context.Context, dir vmdir.Dir) error {
	stop := context.AfterFunc(ctx, func() {
		_ = a.conn.CloseWrite()
		_ = a.conn.SetReadDeadline(time.Now().Add(undoTime))
	})
	defer stop()
	var report Report
	err := json.NewDecoder(a.conn).Decode(&report)
	if err == nil && report.Over {
		<-a.ended
	}
	switch {
	case errors.Is(err, os.ErrDeadlineExceeded):
		return fail(KindTimeout, "see "+dir.File(vmdir.SupervisorLog), "its supervisor has not undone everything yet")
	case err != nil:
		return fmt.Errorf("%w: %w", errLost, err)
	case report.Leftover != "":
		return fail(report.kind(), "see "+dir.File(vmdir.SupervisorLog), "%v; and not all could be undone: %s", report.cause(), report.Leftover)
	case report.Error == nil:
		return nil
	case ctx.Err() != nil:
		return abandoned(ctx, report)
	}
	return report.Error
}

// errLost says that a supervisor ended without a report: it was killed.
var errLost = errors.New("the supervisor ended without a word")

func (r Report) kind() Kind {
	if r.Error == nil {
		return KindInternal
	}
	return r.Error.Kind
}

func (r Report) cause() error {
	if r.Error == nil {
		return errors.New("QEMU has ended")
	}
	return r.Error.Err
}

// abandoned is the error of a caller that gave up, with what the supervisor
// was at when it heard of that; nil if the caller has not given up.
func abandoned(ctx context.Context, report Report) error {
	if ctx.Err() == nil {
		return nil
	}
	if errors.Is(ctx.Err(), context.Canceled) {
		return fail(KindCanceled, "", "interrupted; everything is undone")
	}
	e := fail(KindTimeout, "give it longer by --timeout", "it did not come up in time; everything is undone")
	if report.Error != nil && report.Error.Kind == KindQEMU {
		return fail(KindQEMU, report.Error.Advice, "%w in time; everything is undone", report.Error.Err)
	}
	return e
}

// pair is a connected pair of stream sockets, one for this process and one for
// a child.
func pair() (*net.UnixConn, *os.File, error) {
	fds, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, nil, fmt.Errorf("socketpair: %w", err)
	}
	mine := os.NewFile(uintptr(fds[0]), "supervisor")
	defer func() { _ = mine.Close() }()
	theirs := os.NewFile(uintptr(fds[1]), "starter")
	conn, err := net.FileConn(mine)
	if err != nil {
		_ = theirs.Close()
		return nil, nil, err
	}
	return conn.(*net.UnixConn), theirs, nil
}
