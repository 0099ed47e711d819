package process

import (
	"context"
	"errors"
	"os/exec"
	"syscall"
	"testing"
	"time"
)

func TestParseStat(t *testing.T) {
	tests := []struct {
		name, text string
		want       stat
		bad        bool
	}{
		{name: "plain", text: "7 (sh) S 1 7 7 0 -1 4194560 1 0 0 0 3 4 0 0 20 0 1 0 4711 1 1", want: stat{'S', 70 * time.Millisecond, 1, 4711}},
		{name: "hostile name", text: "7 (a) R 1 (b) Z 1 7 7 0 -1 4194560 1 0 0 0 0 0 0 0 20 0 1 0 99 1 1", want: stat{'Z', 0, 1, 99}},
		{name: "no name", text: "7 sh S 1", bad: true},
		{name: "no number", text: "7 (sh) S 1 7 7 0 -1 4194560 1 0 0 0 x 0 0 0 20 0 1 0 99 1 1", bad: true},
		{name: "short", text: "7 (sh) S 1", bad: true},
		{name: "empty", text: "", bad: true},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got, err := parseStat([]byte(tt.text))
			if (err != nil) != tt.bad {
				t.Fatalf("err = %v, want an error: %v", err, tt.bad)
			}
			if err == nil && got != tt.want {
				t.Errorf("got %+v, want %+v", got, tt.want)
			}
		})
	}
}

func TestHandle(t *testing.T) {
	cmd := exec.Command("sleep", "600")
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	id, err := Find(cmd.Process.Pid)
	if err != nil {
		t.Fatal(err)
	}
	if !id.Alive() {
		t.Error("a running process is not alive")
	}
	if other := (ID{PID: id.PID, Start: id.Start + 1}); other.Alive() {
		t.Error("a process with another start time passes for this one")
	}
	if _, err := Open(ID{PID: id.PID, Start: id.Start + 1}); !errors.Is(err, ErrGone) {
		t.Errorf("Open of a reused PID: %v, want ErrGone", err)
	}
	h, err := Open(id)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = h.Close() }()

	short, cancel := context.WithTimeout(t.Context(), 10*time.Millisecond)
	defer cancel()
	if err := h.Wait(short); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("Wait on a running process: %v", err)
	}
	if err := h.Signal(syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	// Not reaped yet: a zombie has ended all the same.
	if err := h.Wait(t.Context()); err != nil {
		t.Errorf("Wait on an ended process: %v", err)
	}
	if id.Alive() {
		t.Error("a zombie is alive")
	}
	_ = cmd.Wait()
	if err := h.Signal(syscall.SIGTERM); !errors.Is(err, ErrGone) {
		t.Errorf("signal to a reaped process: %v, want ErrGone", err)
	}
}
