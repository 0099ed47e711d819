package netplumb

import (
	"errors"
	"os"
	"slices"
	"testing"

	"golang.org/x/sys/unix"
)

// fakeStep writes down that it was undone.
type fakeStep struct {
	name   string
	undone *[]string
	err    error
}

func (s fakeStep) String() string                      { return s.name }
func (s fakeStep) apply(*Host, int) error              { return nil }
func (s fakeStep) check(*Host) (string, string, error) { return "", "", nil }
func (s fakeStep) shell() Commands                     { return Commands{} }
func (s fakeStep) undo(*Host) error {
	*s.undone = append(*s.undone, s.name)
	return s.err
}

// fakeSteps fail to be undone as the errors say.
func fakeSteps(undone *[]string, errs ...error) []step {
	var steps []step
	for i, err := range errs {
		steps = append(steps, fakeStep{string(rune('a' + i)), undone, err})
	}
	return steps
}

// Later steps lean on earlier ones, so they go first. One that fails keeps no
// other from being undone, and what is gone is no failure.
func TestUndoGoesBackwards(t *testing.T) {
	var undone []string
	failed := errors.New("failed")
	err := undo(nil, fakeSteps(&undone, nil, failed, unix.ENODEV, nil))
	if want := []string{"d", "c", "b", "a"}; !slices.Equal(undone, want) {
		t.Errorf("undone: %q, want %q", undone, want)
	}
	if !errors.Is(err, failed) || errors.Is(err, unix.ENODEV) {
		t.Errorf("error %v, want %v alone", err, failed)
	}
}

// A start that fails half way leaves the first step, the tap, to its
// descriptors.
func TestRevertLeavesTheTapToItsDescriptors(t *testing.T) {
	var undone []string
	end, other, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = other.Close() }()
	if err := revert(nil, &openTap{queues: []*os.File{end}}, fakeSteps(&undone, nil, nil, nil)); err != nil {
		t.Error(err)
	}
	if want := []string{"c", "b"}; !slices.Equal(undone, want) {
		t.Errorf("undone: %q, want %q", undone, want)
	}
	if err := end.Close(); !errors.Is(err, os.ErrClosed) {
		t.Errorf("the tap is open still: %v", err)
	}
}
