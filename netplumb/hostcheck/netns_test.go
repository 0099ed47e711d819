package hostcheck

import (
	"os"
	"os/exec"
	"runtime"
	"testing"

	"golang.org/x/sys/unix"
)

// namespace is a network namespace with a thread of its own. It goes with the
// test, and everything in it.
type namespace struct {
	work chan func()
	fd   int // of the namespace
}

func newNamespace(t *testing.T) *namespace {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("skipped: making a network namespace needs root")
	}
	ns := &namespace{work: make(chan func())}
	ready := make(chan error)
	go func() {
		runtime.LockOSThread() // never unlocked: the thread ends with the goroutine
		err := unix.Unshare(unix.CLONE_NEWNET)
		if err == nil {
			ns.fd, err = unix.Open("/proc/thread-self/ns/net", unix.O_RDONLY|unix.O_CLOEXEC, 0)
		}
		ready <- err
		for f := range ns.work {
			f()
		}
	}()
	if err := <-ready; err != nil {
		close(ns.work)
		t.Fatalf("make a network namespace: %v", err)
	}
	t.Cleanup(func() {
		close(ns.work)
		_ = unix.Close(ns.fd)
	})
	return ns
}

// do runs f in the namespace and returns when it is done. Processes that f
// starts are in the namespace too.
func (ns *namespace) do(f func()) {
	done := make(chan struct{})
	ns.work <- func() { defer close(done); f() }
	<-done
}

// shell runs commands in the namespace; an error of any of them ends the test.
func (ns *namespace) shell(t *testing.T, commands string) string {
	t.Helper()
	var out []byte
	var err error
	ns.do(func() { out, err = exec.Command("sh", "-e", "-c", commands).CombinedOutput() })
	if err != nil {
		t.Fatalf("%s\n%v\n%s", commands, err, out)
	}
	return string(out)
}
