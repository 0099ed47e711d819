package process

import (
	"errors"
	"os"
	"os/exec"
	"testing"
)

func TestSearch(t *testing.T) {
	const mark = "601.0123456789"
	cmd := exec.Command("sleep", "600", mark)
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() { _ = cmd.Wait() }()
	defer func() { _ = cmd.Process.Kill() }()
	want, err := Find(cmd.Process.Pid)
	if err != nil {
		t.Fatal(err)
	}
	us, others := RunsAs(uint32(os.Getuid())), RunsAs(uint32(os.Getuid())+1)
	for name, c := range map[string]struct {
		is        func(int) bool
		arguments []string
		found     bool
	}{
		"by one argument":    {us, []string{mark}, true},
		"by two":             {us, []string{"600", mark}, true},
		"in our network":     {SharesNetwork, []string{mark}, true},
		"another user's":     {others, []string{mark}, false},
		"part of one":        {us, []string{"601.01234567"}, false},
		"in the other order": {us, []string{mark, "600"}, false},
	} {
		got, err := Search(c.is, c.arguments...)
		if c.found && (err != nil || got != want) {
			t.Errorf("%s: %v, %v; want %v", name, got, err, want)
		}
		if !c.found && !errors.Is(err, ErrGone) {
			t.Errorf("%s: %v, %v; want ErrGone", name, got, err)
		}
	}
}
