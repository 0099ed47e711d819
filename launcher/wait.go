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

// Wait returns when the condition is met by the VM that has the name now. It fails
// with KindEnded if the VM ends before, and with KindTimeout or KindCanceled when
// the context ends.
func (l *Launcher) Wait(ctx context.Context, name string, c Condition) error {
	return l.WaitFor(ctx, VM{Name: name}, c)
}

// WaitFor is Wait for the VM with vm's name and UUID: another that has its name by
// now means that it has ended.
func (l *Launcher) WaitFor(ctx context.Context, vm VM, c Condition) error {
	op := "wait for " + c.text + " of " + printableName(vm.Name)
	dir, err := l.dir(vm.Name)
	if err != nil {
		return during(op, err)
	}
	met := c.metBy
	if c.console != nil {
		log, err := os.Open(dir.File(vmdir.ConsoleLog))
		if err != nil {
			return during(op, ended(dir, err))
		}
		defer func() { _ = log.Close() }()
		met = (&search{log: log, pattern: c.console}).metBy
	}
	err = l.watch(ctx, dir, vm.UUID, met)
	if errors.Is(err, context.DeadlineExceeded) {
		err = fail(KindTimeout, "see kvmrun logs "+vm.Name, "the condition was not met in time")
	}
	return during(op, err)
}

// metBy is for the conditions that stand in the VM's state.
func (c Condition) metBy(vm *Details) (bool, error) {
	switch {
	case vm == nil:
		return false, nil
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

func (s *search) metBy(*Details) (bool, error) { return s.met() }

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

// HowEnded is nil if the VM with vm's name and UUID ended as it should, and says
// why if not.
func (l *Launcher) HowEnded(vm VM) error {
	now, err := l.lookMended(context.Background(), l.root.Dir(vm.Name), vm.UUID)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil
	case err != nil:
		return during("end of "+printableName(vm.Name), err)
	case now.State == Failed || now.State == Dead:
		return fail(KindQEMU, "see kvmrun logs --qemu "+vm.Name, "%s has ended: %s", vm.Name, now.Reason)
	}
	return nil
}

// over tells whether the VM has ended, as a KindEnded error.
func (l *Launcher) over(dir vmdir.Dir) error {
	vm, err := l.look(dir)
	if err != nil {
		return ended(dir, err)
	}
	return vm.over()
}

// over tells whether the VM has ended, as a KindEnded error.
func (vm *VM) over() error {
	if vm.State == Failed || vm.State == Dead {
		return fail(KindEnded, "see kvmrun logs "+vm.Name, "the VM has ended: %s", vm.Reason)
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
