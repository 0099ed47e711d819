package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/spf13/cobra"

	"kvmrun/launcher"
)

// A command that passes another's status on has statuses of its own that are told apart.
func TestPassedOn(t *testing.T) {
	passes := &cobra.Command{Annotations: map[string]string{passesOn: "yes"}}
	for _, c := range []struct {
		command *cobra.Command
		err     error
		want    int
		says    bool
	}{
		{passes, nil, 0, false},
		{passes, &passedOn{0}, 0, false},
		{passes, &passedOn{3}, 3, false},
		{passes, &launcher.Error{Kind: launcher.KindNotFound, Err: errors.New("gone")}, 125, true},
		{passes, &launcher.Error{Kind: launcher.KindTimeout, Err: errors.New("late")}, 124, true},
		{passes, fmt.Errorf("x: %w", context.Canceled), 130, true},
		{&cobra.Command{}, &launcher.Error{Kind: launcher.KindNotFound, Err: errors.New("gone")}, 3, true},
	} {
		var errs bytes.Buffer
		a := &app{out: new(bytes.Buffer), err: &errs}
		if got := a.exit(own(c.command, c.err)); got != c.want || (errs.Len() > 0) != c.says {
			t.Errorf("%v: %d %q, want %d", c.err, got, errs.String(), c.want)
		}
	}
	for _, line := range []string{"exec", "exec web", "exec web --by '' -- true", "exec web --nonesuch", "exec web --timeout 0s -- true", "exec web --timeout x -- true"} {
		if status, out, errs := capture(t, strings.Fields(strings.ReplaceAll(line, "''", "\x00"))...); status != 125 || out != "" || !strings.HasPrefix(errs, "kvmrun: ") {
			t.Errorf("%s: %d %q %q", line, status, out, errs)
		}
	}
}
