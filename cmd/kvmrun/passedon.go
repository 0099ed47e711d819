package main

import (
	"errors"
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"kvmrun/launcher"
)

// passedOn is how a command ends whose exit status is another's.
type passedOn struct{ status int }

func (p *passedOn) Error() string { return fmt.Sprintf("exit status %d", p.status) }

// ownFailure is a failure of kvmrun's own in such a command. Its status is not one of
// the others': those may be the other's, too.
type ownFailure struct{ error }

// Unwrap gives the cause to errors.Is and errors.As.
func (o ownFailure) Unwrap() error { return o.error }

// ownStatuses are those that such a command has of its own, as timeout(1) and env(1)
// have them.
var ownStatuses = []exitStatus{
	{124, launcher.KindTimeout, "the command was not done within --timeout, and was ended"},
	{125, launcher.KindInternal, "kvmrun failed: the command was not run, or how it ended is not known"},
	{126, "", "the command cannot be executed"},
	{127, "", "there is no such command in the guest"},
	{130, launcher.KindCanceled, "interrupted"},
}

// status is the exit status for the failure.
func (o ownFailure) status() int {
	for _, s := range ownStatuses {
		if s.kind == launcher.KindOf(o.error) {
			return s.status
		}
	}
	return 125
}

// passesOn is the annotation of such a command.
const passesOn = "passes-on"

// own marks a failure as kvmrun's own if the command passes another's status on.
func own(c *cobra.Command, err error) error {
	if err == nil || c == nil || c.Annotations[passesOn] == "" || errors.As(err, new(*passedOn)) {
		return err
	}
	return ownFailure{err}
}

// describeOwn is the table of such a command's statuses.
func describeOwn() string {
	var b strings.Builder
	b.WriteString("    0  all is well\n")
	for _, s := range ownStatuses {
		fmt.Fprintf(&b, "  %3d  %s\n", s.status, s.meaning)
	}
	b.WriteString("  128 and N: signal N has ended the command. Any other is the command's own")
	return b.String()
}
