package lab

import (
	"context"
	"errors"
	"io"
	"os"
	"os/exec"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"
)

// Process is a command that runs in the background of a world. It ends with
// the world at the latest.
type Process struct {
	Stdin  io.WriteCloser
	Stdout *Output
	Stderr *Output
	PID    int // as this test sees it

	world   *World
	command string
	cmd     *exec.Cmd
	done    chan struct{} // closed when it has been waited for
}

// Start starts a command in the background, with pipes to it and from it.
func (w *World) Start(t testing.TB, name string, args ...string) *Process {
	t.Helper()
	return w.StartWith(t, Run{}, name, args...)
}

// StartWith is Start with a choice of environment and directory. A Timeout
// kills the process when it is over; a Stdin takes the place of the pipe.
func (w *World) StartWith(t testing.TB, how Run, name string, args ...string) *Process {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	if how.Timeout > 0 {
		ctx, cancel = context.WithTimeout(context.Background(), how.Timeout)
	}
	cmd := w.command(ctx, t, how, name, args...)
	p := &Process{
		Stdout:  newOutput(),
		Stderr:  newOutput(),
		world:   w,
		command: strings.Join(append([]string{name}, args...), " "),
		cmd:     cmd,
		done:    make(chan struct{}),
	}
	cmd.Stdin, cmd.Stdout, cmd.Stderr = how.Stdin, p.Stdout, p.Stderr
	if how.Stdin == nil {
		stdin, err := cmd.StdinPipe()
		if err != nil {
			cancel()
			t.Fatalf("in %s: %s: %v", w.Name, p.command, err)
		}
		p.Stdin = stdin
	}
	if err := w.start(cmd); err != nil {
		cancel()
		t.Fatalf("in %s: %s: %v", w.Name, p.command, err)
	}
	p.PID = cmd.Process.Pid
	go func() {
		defer cancel()
		_ = cmd.Wait() // what became of it is read from ProcessState
		p.Stdout.end()
		p.Stderr.end()
		close(p.done)
	}()
	return p
}

// Wait waits until the process has ended and its output has been read. It
// fails the test if that takes longer than timeout.
func (p *Process) Wait(t testing.TB, timeout time.Duration) Result {
	t.Helper()
	select {
	case <-p.done:
	case <-time.After(timeout):
		t.Fatalf("in %s: not done after %v: %s", p.world.Name, timeout, p.result())
	}
	return p.result()
}

// Done is closed when the process has ended and its output has been read.
func (p *Process) Done() <-chan struct{} { return p.done }

// Signal sends a signal to the process. One that has ended is left alone.
func (p *Process) Signal(t testing.TB, s os.Signal) {
	t.Helper()
	select {
	case <-p.done:
		return
	default:
	}
	if err := p.cmd.Process.Signal(s); err != nil && !errors.Is(err, os.ErrProcessDone) {
		t.Fatalf("in %s: signal %v to %s: %v", p.world.Name, s, p.command, err)
	}
}

func (p *Process) result() Result {
	r := Result{Command: p.command, Stdout: p.Stdout.String(), Stderr: p.Stderr.String(), ExitCode: -1}
	select {
	case <-p.done:
		r.ExitCode = p.cmd.ProcessState.ExitCode()
	default:
	}
	return r
}

// Output collects what a process writes.
type Output struct {
	mu     sync.Mutex
	text   []byte
	ended  bool
	change chan struct{} // closed and replaced at each change
}

func newOutput() *Output { return &Output{change: make(chan struct{})} }

// Write implements [io.Writer].
func (o *Output) Write(b []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.text = append(o.text, b...)
	o.changed()
	return len(b), nil
}

func (o *Output) end() {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.ended = true
	o.changed()
}

func (o *Output) changed() {
	close(o.change)
	o.change = make(chan struct{})
}

// String is everything written so far.
func (o *Output) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return string(o.text)
}

// WaitFor waits until what has been written matches a regular expression and
// returns the match with its groups. It fails the test after timeout, or when
// the process ends without writing such a thing.
func (o *Output) WaitFor(t testing.TB, pattern string, timeout time.Duration) []string {
	t.Helper()
	expr := regexp.MustCompile(pattern)
	deadline := time.After(timeout)
	for {
		o.mu.Lock()
		match := expr.FindSubmatch(o.text)
		ended, change := o.ended, o.change
		o.mu.Unlock()
		switch {
		case match != nil:
			groups := make([]string, len(match))
			for i, m := range match {
				groups[i] = string(m)
			}
			return groups
		case ended:
			t.Fatalf("the output ended without a match of %q:\n%s", pattern, o)
		}
		select {
		case <-change:
		case <-deadline:
			t.Fatalf("no match of %q within %v:\n%s", pattern, timeout, o)
		}
	}
}
