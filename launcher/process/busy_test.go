package process

import (
	"context"
	"errors"
	"os/exec"
	"path/filepath"
	"runtime"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// TestWaitWhileBusy waits for processes that are idle, busy for a while and
// then idle, busy until they end, and stopped by a signal.
func TestWaitWhileBusy(t *testing.T) {
	t.Parallel()
	const idle = time.Second
	const computes = `while [ $SECONDS -lt 3 ]; do :; done`
	for name, test := range map[string]struct {
		script string
		want   error
		least  time.Duration
	}{
		"idle":                {"read -r line", ErrIdle, idle},
		"wakes now and then":  {"while ! read -r -t 0.2 line; do :; done", ErrIdle, idle},
		"computes and ends":   {computes, nil, 2 * idle},
		"computes, then idle": {computes + "; read -r line", ErrIdle, 3 * idle},
		"another computes":    {"(" + computes + ") & read -r line", ErrIdle, idle},
		"writes and ends": {"i=0; while [ $i -lt 40 ]; do printf '%8192s' . >&3; i=$((i+1)); read -r -t 0.05 line; done 3>" +
			filepath.Join(t.TempDir(), "file"), nil, 2 * idle},
		"stopped again and again": {"for i in 1 2 3 4; do kill -STOP $$; done", nil, idle / looks},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			h := startScript(t, test.script)
			began := time.Now()
			if err := h.WaitWhileBusy(t.Context(), idle, func(how string) { t.Errorf("it %s", how) }); !errors.Is(err, test.want) {
				t.Errorf("%v, want %v", err, test.want)
			}
			if took := time.Since(began); took < test.least {
				t.Errorf("it took %v, not %v or more", took, test.least)
			}
		})
	}
}

func TestHandlesFile(t *testing.T) {
	for text, want := range map[string]bool{
		"18 0x3 0x7ff1 0x1000 0x0 0x0 0x0 0x7ffd 0x7ff1\n": true, // pwrite64
		"75 0x3 0x0 0x0 0x0 0x0 0x0 0x7ffd 0x7ff1\n":       true, // fdatasync
		"202 0x5 0x80 0x0 0x0 0x0 0x0 0x7ffd 0x7ff1\n":     false,
		"running\n":                        false,
		"-1 0x7ffd8 0x7ff174f302ad\n":      false,
		"":                                 false,
		"1 0x1 0x7f 0x1 0x0 0x0 0x0 0 0\n": false, // write, perhaps to a pipe
	} {
		if got := handlesFile([]byte(text)); got != want {
			t.Errorf("%q: %t", text, got)
		}
	}
}

// TestWaitWhileTraced waits for a process that does nothing because a debugger has
// stopped it: it is not idle, however long that lasts, and is told of.
func TestWaitWhileTraced(t *testing.T) {
	t.Parallel()
	const idle = 200 * time.Millisecond
	h := startScript(t, "read -r line")
	over, detached := make(chan struct{}), make(chan error)
	go func() {
		runtime.LockOSThread() // the tracer is a thread, which ends with this
		err := errors.Join(unix.PtraceSeize(h.ID.PID), unix.PtraceInterrupt(h.ID.PID))
		detached <- err
		<-over
		detached <- unix.PtraceDetach(h.ID.PID)
	}()
	if err := <-detached; err != nil {
		t.Fatal(err)
	}
	wantKept(t, h, idle, Traced)
	close(over)
	if err := <-detached; err != nil {
		t.Fatal(err)
	}
	if err := h.WaitWhileBusy(t.Context(), idle, func(string) {}); !errors.Is(err, ErrIdle) {
		t.Errorf("without its debugger: %v", err)
	}
}

// wantKept waits for a process that is kept from going on, or from being seen, which
// therefore is not idle, and of which that is said.
func wantKept(t *testing.T, h *Handle, idle time.Duration, want string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 3*idle)
	defer cancel()
	told := map[string]int{}
	err := h.WaitWhileBusy(ctx, idle, func(how string) { told[how]++ })
	if !errors.Is(err, context.DeadlineExceeded) || told[want] < looks || len(told) != 1 {
		t.Errorf("%v, and it was told %v", err, told)
	}
}

// startScript starts a script of bash's, which ends with the test at the latest.
func startScript(t *testing.T, script string) *Handle {
	t.Helper()
	cmd := exec.Command("bash", "-c", script)
	if _, err := cmd.StdinPipe(); err != nil {
		t.Fatal(err)
	}
	return start(t, cmd)
}

// start starts a command, which ends with the test at the latest.
func start(t *testing.T, cmd *exec.Cmd) *Handle {
	t.Helper()
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	})
	id, err := Find(cmd.Process.Pid)
	if err != nil {
		t.Fatal(err)
	}
	h, err := Open(id)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = h.Close() })
	return h
}
