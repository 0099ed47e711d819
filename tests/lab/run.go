package lab

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// searchPath is where commands of a world are looked for, after the
// directories of kvmrun and of the QEMU under test.
const searchPath = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

// Run says how a command is run. The zero value is an empty standard input,
// two minutes and the world's usual environment.
type Run struct {
	Stdin   io.Reader
	Env     []string // added to the world's environment, as KEY=VALUE
	Dir     string   // "/" if empty
	Timeout time.Duration
}

// Result is what became of a command.
type Result struct {
	Command  string // for messages
	Stdout   string
	Stderr   string
	ExitCode int // -1 when a signal ended it
}

// String is the command with its output, for a test's failure message.
func (r Result) String() string {
	return fmt.Sprintf("$ %s\n%s%s(exit status %d)", r.Command, r.Stdout, r.Stderr, r.ExitCode)
}

// Run runs a command in the world and waits for it. A status other than 0 is
// a result like any other; a command that cannot be started, that is not done
// in time, or that leaves a process behind which holds its output open ends
// the test.
//
// "kvmrun" is the one under test, see [Binary]; once that has been asked for,
// scripts find it too.
func (w *World) Run(t testing.TB, name string, args ...string) Result {
	t.Helper()
	return w.RunWith(t, Run{}, name, args...)
}

// MustRun is Run for a command whose failure ends the test. It returns the
// standard output.
func (w *World) MustRun(t testing.TB, name string, args ...string) string {
	t.Helper()
	r := w.Run(t, name, args...)
	if r.ExitCode != 0 {
		t.Fatalf("in %s: %s", w.Name, r)
	}
	return r.Stdout
}

// RunWith is Run with a choice of input, environment and time.
func (w *World) RunWith(t testing.TB, how Run, name string, args ...string) Result {
	t.Helper()
	timeout := how.Timeout
	if timeout == 0 {
		timeout = 2 * time.Minute
	}
	ctx, cancel := context.WithTimeout(context.Background(), timeout) // also serves clean-up functions
	defer cancel()
	cmd := w.command(ctx, t, how, name, args...)
	var stdout, stderr bytes.Buffer
	cmd.Stdin, cmd.Stdout, cmd.Stderr = how.Stdin, &stdout, &stderr
	err := w.start(cmd)
	if err == nil {
		err = cmd.Wait()
	}
	r := Result{
		Command:  strings.Join(append([]string{name}, args...), " "),
		Stdout:   stdout.String(),
		Stderr:   stderr.String(),
		ExitCode: -1,
	}
	if cmd.ProcessState != nil {
		r.ExitCode = cmd.ProcessState.ExitCode()
	}
	var status *exec.ExitError
	switch {
	case ctx.Err() != nil:
		t.Fatalf("in %s: not done after %v: %s", w.Name, timeout, r)
	case errors.Is(err, exec.ErrWaitDelay):
		t.Fatalf("in %s: a process left behind holds the output open: %s", w.Name, r)
	case err != nil && !errors.As(err, &status):
		t.Fatalf("in %s: %s: %v", w.Name, r.Command, err)
	}
	return r
}

// command prepares a command for start.
func (w *World) command(ctx context.Context, t testing.TB, how Run, name string, args ...string) *exec.Cmd {
	t.Helper()
	file := name
	if name == "kvmrun" {
		file = Binary(t)
	}
	path := commandPath()
	cmd := exec.CommandContext(ctx, w.lookUp(path, file), args...)
	cmd.Args[0] = name
	cmd.Dir = how.Dir
	if cmd.Dir == "" {
		cmd.Dir = "/"
	}
	cmd.Env = append(environment(path), how.Env...)
	cmd.WaitDelay = 5 * time.Second
	return cmd
}

// environment is the same in every run, except for where coverage is written,
// so that the variables of the person at the keyboard decide no test.
func environment(path string) []string {
	env := []string{"PATH=" + path, "HOME=/root", "LANG=C.UTF-8", "TERM=dumb"}
	if dir := os.Getenv("GOCOVERDIR"); dir != "" {
		env = append(env, "GOCOVERDIR="+dir)
	}
	return env
}

// lookUp finds a command as a shell in the world would. A name that is found
// nowhere is left to exec, whose error names it.
func (w *World) lookUp(path, name string) string {
	if strings.Contains(name, "/") {
		return name
	}
	for _, dir := range filepath.SplitList(path) {
		file := filepath.Join(dir, name)
		if info, err := os.Stat(w.File(file)); err == nil && info.Mode().IsRegular() && info.Mode()&0o111 != 0 {
			return file
		}
	}
	return name
}
