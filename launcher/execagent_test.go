package launcher

import (
	"errors"
	"testing"

	"kvmrun/launcher/agent"
)

// The words are the agent's, of QEMU 7.2 with Debian's GLib.
func TestNotExecuted(t *testing.T) {
	for _, c := range []struct {
		err  error
		want int
	}{
		{nil, 0},
		{errors.New("Failed to execute child process"), 0},
		{&agent.Refusal{Desc: "The command guest-exec has been disabled for this instance"}, 0},
		{&agent.Refusal{Desc: "Guest agent command failed, error was 'Failed to execute child process “nonesuch” (No such file or directory)'"}, 127},
		{&agent.Refusal{Desc: "Guest agent command failed, error was 'Failed to execute child process “/etc” (Permission denied)'"}, 126},
	} {
		if got := notExecuted(c.err); got != c.want {
			t.Errorf("%v: %d, want %d", c.err, got, c.want)
		}
	}
}

func TestAgentErrors(t *testing.T) {
	for want, err := range map[string]error{
		"the guest's agent may not do that: guest-exec: no; allow it in the agent's configuration there, or use SSH, by --by ssh": &agent.Refusal{Command: "guest-exec", Class: "CommandNotFound", Desc: "no"},
		"the guest's agent refuses: guest-exec: no": &agent.Refusal{Command: "guest-exec", Class: "GenericError", Desc: "no"},
		"the guest agent does not answer":           agent.ErrSilent,
	} {
		if got := agentError(err); KindOf(got) != KindGuest || got.Error() != want {
			t.Errorf("%v (%s), want %s", got, KindOf(got), want)
		}
	}
}
