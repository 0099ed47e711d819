package fetch

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// childOrder in the environment makes of the test binary a process that gets a
// file.
const childOrder = "FETCH_TEST_ORDER"

// order is what such a process is to do.
type order struct {
	Dir    string
	Source Source
	// Env is added to its environment.
	Env []string
	// Tiny is the size in bytes of a file system of its own that it mounts on
	// Dir; 0 for none.
	Tiny int
}

// report is a line of what it says.
type report struct {
	Step        Step   `json:",omitempty"`
	Done, Total int64  `json:",omitempty"`
	Digest      Digest `json:",omitempty"`
	Error       string `json:",omitempty"`
	NoSpace     bool   `json:",omitempty"`
	Left        int    // files in the folder, at the end
}

func TestMain(m *testing.M) {
	if text := os.Getenv(childOrder); text != "" {
		obey(text)
		os.Exit(0)
	}
	os.Exit(m.Run())
}

func obey(text string) {
	var o order
	if err := json.Unmarshal([]byte(text), &o); err != nil {
		panic(err)
	}
	if o.Tiny > 0 {
		if err := unix.Mount("tmpfs", o.Dir, "tmpfs", 0, fmt.Sprintf("size=%d", o.Tiny)); err != nil {
			panic(err)
		}
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	say := json.NewEncoder(os.Stdout).Encode
	f, err := Get(ctx, o.Dir, o.Source, Options{Pause: time.Millisecond,
		Progress: func(step Step, done, total int64) { _ = say(report{Step: step, Done: done, Total: total}) }})
	var end report
	if err != nil {
		end.Error, end.NoSpace = err.Error(), errors.Is(err, ErrNoSpace)
	} else {
		end.Digest = f.Digest
	}
	entries, _ := os.ReadDir(o.Dir)
	end.Left = len(entries)
	_ = say(end)
}

// child is such a process, with what it says.
type child struct {
	*exec.Cmd
	lines *json.Decoder
}

func startChild(t *testing.T, o order) *child {
	t.Helper()
	text, err := json.Marshal(o)
	if err != nil {
		t.Fatal(err)
	}
	c := exec.Command("/proc/self/exe")
	c.Env = append(os.Environ(), childOrder+"="+string(text))
	c.Env = append(c.Env, o.Env...)
	c.Stderr = os.Stderr
	c.SysProcAttr = &unix.SysProcAttr{Pdeathsig: unix.SIGKILL}
	if o.Tiny > 0 {
		c.SysProcAttr.Cloneflags = unix.CLONE_NEWNS
	}
	out, err := c.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Process.Kill(); _ = c.Wait() })
	return &child{Cmd: c, lines: json.NewDecoder(out)}
}

// until reads what the child says up to the report that is wanted.
func (c *child) until(t *testing.T, wanted func(report) bool) report {
	t.Helper()
	for {
		var r report
		if err := c.lines.Decode(&r); err != nil {
			t.Fatalf("the process ended before its time: %v", err)
		}
		if wanted(r) {
			return r
		}
		if r.Error != "" || r.Digest != "" {
			t.Fatalf("the process ended before its time with %+v", r)
		}
	}
}

func (c *child) end(t *testing.T) report {
	t.Helper()
	return c.until(t, func(r report) bool { return r.Error != "" || r.Digest != "" })
}
