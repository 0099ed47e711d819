package lab

import (
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"runtime"
	"sync"
	"testing"

	"golang.org/x/sys/unix"
)

// World is one machine of a lab. Its methods may be called from several
// goroutines at once.
type World struct {
	Name string // "host", "lan", "peer1", …; also the machine's host name
	PID  int    // the holder's, process 1 of the world, as this test sees it

	holder *exec.Cmd
	alive  io.Closer // the holder ends when this is closed
	netns  *os.File
	calls  chan func() // run on the thread that lives in the world
	ended  chan struct{}
	once   sync.Once
}

func newWorld(t testing.TB, name, resolvConf string) *World {
	t.Helper()
	w := &World{Name: name, calls: make(chan func()), ended: make(chan struct{})}
	err := w.hold(resolvConf)
	if errors.Is(err, unix.EPERM) {
		t.Skipf("lab: this machine does not let root make namespaces: %v", err)
	}
	if err != nil {
		t.Fatalf("lab: world %s: %v", name, err)
	}
	if err := w.enter(); err != nil {
		w.kill()
		t.Fatalf("lab: world %s: %v", name, err)
	}
	return w
}

// enter starts the thread that lives in the world. Processes started from it
// are born there and yet are this process's own children, so that their exit
// status, signals and pipes need no go-between.
func (w *World) enter() error {
	var err error
	if w.netns, err = os.Open(fmt.Sprintf("/proc/%d/ns/net", w.PID)); err != nil {
		return err
	}
	entered := make(chan error)
	go func() {
		// Never unlocked: the thread ends with this goroutine, since no
		// other goroutine may run in these namespaces.
		runtime.LockOSThread()
		if err := joinNamespaces(w.PID); err != nil {
			entered <- err
			return
		}
		entered <- nil
		for {
			select {
			case call := <-w.calls:
				call()
			case <-w.ended:
				return
			}
		}
	}()
	return <-entered
}

func joinNamespaces(pid int) error {
	// A thread that shares its root and working directory with others may
	// not change its mount namespace.
	if err := unix.Unshare(unix.CLONE_FS); err != nil {
		return os.NewSyscallError("unshare", err)
	}
	// All are opened first: once in the world's mounts, /proc is another.
	var files []*os.File
	for _, kind := range []string{"ipc", "uts", "net", "pid", "mnt"} {
		f, err := os.Open(fmt.Sprintf("/proc/%d/ns/%s", pid, kind))
		if err != nil {
			return err
		}
		defer func() { _ = f.Close() }()
		files = append(files, f)
	}
	for _, f := range files {
		if err := unix.Setns(int(f.Fd()), 0); err != nil {
			return fmt.Errorf("enter %s: %w", f.Name(), err)
		}
	}
	return nil
}

// start starts cmd in the world. The caller must wait for it, for the world
// cannot end before each of its processes has been waited for.
func (w *World) start(cmd *exec.Cmd) error {
	done := make(chan error, 1)
	select {
	case w.calls <- func() { done <- cmd.Start() }:
		return <-done
	case <-w.ended:
		return fmt.Errorf("world %s has ended", w.Name)
	}
}

// InNet calls f on a thread of its own in the world's network namespace.
// Sockets that f opens stay in it wherever they are used later. Files and
// processes are the test's own.
func (w *World) InNet(f func() error) error {
	done := make(chan error, 1)
	go func() {
		runtime.LockOSThread() // never unlocked, as in enter
		if err := unix.Setns(int(w.netns.Fd()), unix.CLONE_NEWNET); err != nil {
			done <- os.NewSyscallError("setns", err)
			return
		}
		done <- f()
	}()
	return <-done
}

// File is the path by which this test reaches a file of the world, for use
// with the os package.
func (w *World) File(path string) string {
	return fmt.Sprintf("/proc/%d/root%s", w.PID, path)
}
