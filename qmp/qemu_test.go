package qmp_test

import (
	"bytes"
	"context"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"kvmrun/qmp"
)

// patience bounds everything that is expected to happen. It is generous, as a
// test machine may be slow and busy; nothing waits for it in a test that passes.
const patience = 60 * time.Second

// A guest is a real QEMU without devices, stopped before its first instruction.
type guest struct {
	cmd    *exec.Cmd
	socket string
	stderr bytes.Buffer
}

// qemuBinary returns the QEMU to test with: KVMRUN_TEST_QEMU, or the system's.
func qemuBinary(tb testing.TB) string {
	tb.Helper()
	if named := os.Getenv("KVMRUN_TEST_QEMU"); named != "" {
		return named // and if it is not there, the test fails
	}
	path, err := exec.LookPath("qemu-system-x86_64")
	if err != nil {
		tb.Skipf("no QEMU to test against: %v", err)
	}
	return path
}

// prepareQEMU makes everything for a QEMU but does not start it. As kvmrun
// does, it makes the listening socket itself, for QEMU to inherit.
func prepareQEMU(tb testing.TB, args ...string) *guest {
	tb.Helper()
	g := &guest{socket: filepath.Join(tb.TempDir(), "qmp")}
	listener, err := net.ListenUnix("unix", &net.UnixAddr{Name: g.socket, Net: "unix"})
	if err != nil {
		tb.Fatal(err)
	}
	listener.SetUnlinkOnClose(false)
	defer listener.Close()
	file, err := listener.File()
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() { _ = file.Close() }) // if QEMU was never started
	g.cmd = exec.Command(qemuBinary(tb), append([]string{
		"-nodefaults", "-no-user-config", "-M", "q35", "-m", "16M", "-accel", "tcg", "-display", "none", "-S",
		"-chardev", "socket,id=qmp,server=on,wait=off,fd=3", "-mon", "chardev=qmp,mode=control",
	}, args...)...)
	g.cmd.ExtraFiles = []*os.File{file}
	g.cmd.Stderr = &g.stderr
	return g
}

// start starts QEMU, which from then on is alone in holding the listening
// socket. It ends with the test.
func (g *guest) start(tb testing.TB) {
	tb.Helper()
	if err := g.cmd.Start(); err != nil {
		tb.Fatal(err)
	}
	_ = g.cmd.ExtraFiles[0].Close()
	exited := make(chan struct{})
	go func() {
		_ = g.cmd.Wait() // its status does not matter here
		close(exited)
	}()
	tb.Cleanup(func() {
		_ = g.cmd.Process.Kill() // it may have ended already
		<-exited
		if tb.Failed() {
			tb.Logf("%s\n%s", g.cmd, &g.stderr)
		}
	})
}

// startQEMU starts a QEMU with further arguments.
func startQEMU(tb testing.TB, args ...string) *guest {
	tb.Helper()
	g := prepareQEMU(tb, args...)
	g.start(tb)
	return g
}

// dial connects to the guest's monitor for as long as the test lasts.
func (g *guest) dial(tb testing.TB) *qmp.Client {
	tb.Helper()
	c, err := qmp.Dial(within(tb, patience), g.socket)
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() { _ = c.Close() })
	return c
}

// within returns a context that ends with the test, or after d.
func within(tb testing.TB, d time.Duration) context.Context {
	tb.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), d)
	tb.Cleanup(cancel)
	return ctx
}

// holds counts QEMU's descriptors for the file at path.
func (g *guest) holds(t *testing.T, path string) int {
	t.Helper()
	links, err := filepath.Glob(fmt.Sprintf("/proc/%d/fd/*", g.cmd.Process.Pid))
	if err != nil || len(links) == 0 {
		t.Fatalf("descriptors of QEMU: %v, %v", links, err)
	}
	n := 0
	for _, link := range links {
		if target, err := os.Readlink(link); err == nil && target == path {
			n++
		}
	}
	return n
}

// await waits for something that is certain to come if the code is right.
func await(t *testing.T, done <-chan struct{}, what string) {
	t.Helper()
	select {
	case <-done:
	case <-time.After(patience):
		t.Fatalf("waited %v for %s", patience, what)
	}
}
