package launcher

import (
	"bytes"
	"context"
	"errors"
	"io"
	"io/fs"
	"os"
	"regexp"
	"strings"

	"kvmrun/launcher/process"
	"kvmrun/launcher/vmdir"
)

// Condition is something about a VM that can be waited for.
type Condition struct {
	text    string
	console *regexp.Regexp
}

// The conditions that need no parameter.
var (
	WaitNone    = Condition{text: "none"}    // a supervisor has the VM
	WaitRunning = Condition{text: "running"} // QEMU runs, the network stands
	WaitNet     = Condition{text: "net"}     // the guest answers at its address
)

const consolePrefix = "console:"

// ParseCondition reads none, running, net or console:REGEX, where REGEX is in
// the syntax of Go's package regexp and is matched against the console's lines.
func ParseCondition(text string) (Condition, error) {
	if pattern, ok := strings.CutPrefix(text, consolePrefix); ok {
		re, err := regexp.Compile("(?m)" + pattern)
		if err != nil || pattern == "" {
			return Condition{}, fail(KindUsage, "see https://pkg.go.dev/regexp/syntax", "--wait %s: not a regular expression", text)
		}
		return Condition{text: text, console: re}, nil
	}
	for _, c := range []Condition{WaitNone, WaitRunning, WaitNet} {
		if c.text == text {
			return c, nil
		}
	}
	return Condition{}, fail(KindUsage, "choose one of none, running, net, console:REGEX", "--wait has no choice %q", text)
}

// String is the condition as ParseCondition reads it.
func (c Condition) String() string { return c.text }

// Is tells whether two conditions are the same.
func (c Condition) Is(other Condition) bool { return c.text == other.text }

// Wait returns when the condition is met. It fails with KindEnded if the VM
// ends before, and with KindTimeout or KindCanceled when the context ends.
func (l *Launcher) Wait(ctx context.Context, name string, c Condition) error {
	op := "wait for " + c.text + " of " + printableName(name)
	dir, err := l.dir(name)
	if err != nil {
		return during(op, err)
	}
	met := func() (bool, error) { return l.met(dir, c) }
	if c.console != nil {
		log, err := os.Open(dir.File(vmdir.ConsoleLog))
		if err != nil {
			return during(op, err)
		}
		defer func() { _ = log.Close() }()
		met = (&search{log: log, pattern: c.console}).met
	}
	err = l.Watch(ctx, dir, met)
	if errors.Is(err, context.DeadlineExceeded) {
		err = fail(KindTimeout, "see kvmrun logs "+name, "the condition was not met in time")
	}
	return during(op, err)
}

// met looks at the VM's state for the conditions that stand there.
func (l *Launcher) met(dir vmdir.Dir, c Condition) (bool, error) {
	vm, err := l.look(dir)
	switch {
	case err != nil:
		return false, err
	case c.Is(WaitNet):
		return !vm.Reachable.IsZero(), nil
	case c.Is(WaitRunning):
		return vm.State == Running || vm.State == Paused, nil
	}
	return true, nil
}

// search looks for a pattern in what a growing file has gained since the last
// look, and a little before.
type search struct {
	log     *os.File
	pattern *regexp.Regexp
	window  []byte
}

// maxWindow is how far back a match may begin, in bytes.
const maxWindow = 64 << 10

func (s *search) met() (bool, error) {
	chunk := make([]byte, maxWindow)
	for {
		n, err := s.log.Read(chunk)
		s.window = append(s.window, bytes.ReplaceAll(chunk[:n], []byte("\r"), nil)...)
		if s.pattern.Match(s.window) {
			return true, nil
		}
		if over := len(s.window) - maxWindow; over > 0 {
			s.window = s.window[over:]
		}
		if errors.Is(err, io.EOF) || n == 0 {
			return false, nil
		}
		if err != nil {
			return false, err
		}
	}
}

// HowEnded is nil if the VM with a UUID ended as it should, and says why if not.
func (l *Launcher) HowEnded(name, uuid string) error {
	vm, err := l.lookFor(l.root.Dir(name), uuid)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil
	case err != nil:
		return during("end of "+printableName(name), err)
	case vm.State == Failed || vm.State == Dead:
		return fail(KindQEMU, "see kvmrun logs --qemu "+name, "%s has ended: %s", name, vm.Reason)
	}
	return nil
}

// Watch calls met whenever something in the VM's folder has changed, until it
// says true or fails. It fails with KindEnded when the VM has ended.
func (l *Launcher) Watch(ctx context.Context, dir vmdir.Dir, met func() (bool, error)) error {
	changes, stop, err := dir.Changes()
	if err != nil {
		return ended(dir, err)
	}
	defer stop()
	gone, release := l.goneChannel(dir)
	defer release()
	for {
		if ok, err := met(); err != nil || ok {
			return ended(dir, err)
		}
		if err := l.over(dir); err != nil {
			return err
		}
		select {
		case <-changes:
		case <-gone:
			gone = nil
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// goneChannel closes the channel when the VM's QEMU has ended, so that an end
// which no supervisor is there to record is noticed too.
func (l *Launcher) goneChannel(dir vmdir.Dir) (<-chan struct{}, func()) {
	ctx, cancel := context.WithCancel(context.Background())
	gone := make(chan struct{})
	vm, err := l.look(dir)
	if err != nil {
		return nil, cancel
	}
	handle, err := process.Open(vm.Details.QEMU)
	if err != nil {
		return nil, cancel
	}
	go func() {
		defer func() { _ = handle.Close() }()
		if handle.Wait(ctx) == nil {
			close(gone)
		}
	}()
	return gone, cancel
}

// over tells whether the VM has ended, as a KindEnded error.
func (l *Launcher) over(dir vmdir.Dir) error {
	vm, err := l.look(dir)
	if err != nil {
		return ended(dir, err)
	}
	if vm.State == Failed || vm.State == Dead {
		return fail(KindEnded, "see kvmrun logs "+dir.Name, "the VM has ended: %s", vm.Reason)
	}
	return nil
}

// ended makes a KindEnded error of a folder's being gone.
func ended(dir vmdir.Dir, err error) error {
	if errors.Is(err, fs.ErrNotExist) {
		return fail(KindEnded, "start it again", "VM %s has ended", dir.Name)
	}
	return err
}

// Follow copies a file of the VM's folder to w and goes on with what is added
// until the VM has ended, or returns at the end of the file if follow is not
// set.
func (l *Launcher) Follow(ctx context.Context, name, file string, w io.Writer, follow bool) error {
	return during("read "+file+" of "+printableName(name), l.follow(ctx, name, file, w, follow))
}

func (l *Launcher) follow(ctx context.Context, name, file string, w io.Writer, follow bool) error {
	dir, err := l.dir(name)
	if err != nil {
		return err
	}
	f, err := os.Open(dir.File(file))
	if errors.Is(err, fs.ErrNotExist) {
		return fail(KindNotFound, "", "VM %s has no %s", name, strings.TrimSuffix(file, ".jsonl"))
	}
	if err != nil {
		return err
	}
	defer func() { _ = f.Close() }()
	if err := vmdir.SkipHole(f); err != nil {
		return err
	}
	if _, err := io.Copy(w, f); err != nil || !follow {
		return err
	}
	err = l.Watch(ctx, dir, func() (bool, error) {
		_, err := io.Copy(w, f)
		return false, err
	})
	if KindOf(err) != KindEnded {
		return err
	}
	// What was written between the last look and the end.
	_, err = io.Copy(w, f)
	return err
}
