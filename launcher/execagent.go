package launcher

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"kvmrun/launcher/agent"
	"kvmrun/launcher/vmdir"
)

// openAgent opens the port to the guest's agent. The caller closes it.
func openAgent(dir vmdir.Dir, vm *Details) (*agent.Port, error) {
	port, err := agent.Open(dir.File(vmdir.AgentFolder))
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil, fail(KindGuest, "start it again", "the VM has no port for a guest agent")
	case err != nil:
		return nil, err
	case vm.Details.Agent.IsZero():
		port.Close()
		return nil, fail(KindGuest, "install qemu-guest-agent there, or wait by kvmrun wait "+vm.Name+" --for agent",
			"the guest has no agent at its port")
	}
	return port, nil
}

// agentError is what became of a question to the agent, for people.
func agentError(err error) error {
	var refused *agent.Refusal
	switch {
	case err == nil, errors.Is(err, context.Canceled):
		return err
	case errors.As(err, &refused) && refused.Unknown():
		return fail(KindGuest, "allow it in the agent's configuration there, or use SSH, by --by ssh",
			"the guest's agent may not do that: %w", refused)
	case errors.As(err, &refused):
		return fail(KindGuest, "", "the guest's agent refuses: %w", refused)
	}
	return fail(KindGuest, "", "%w", err)
}

// byAgent runs the command by the guest's agent, which keeps what it prints until it has
// ended.
func (e *execution) byAgent(ctx context.Context) (int, error) {
	port, err := openAgent(e.dir, e.vm)
	if err != nil {
		return 0, err
	}
	defer port.Close()
	input, err := readInput(ctx, e.Stdin)
	if err != nil {
		return 0, err
	}
	e.Note("%s runs by the guest's agent, as root", e.command[0])
	client := agent.New(port)
	pid, err := client.Exec(ctx, agent.Command{Path: e.command[0], Args: e.command[1:], Input: input, Capture: true})
	if status := notExecuted(err); status != 0 {
		_, _ = fmt.Fprintf(e.Stderr, "%s: %s\n", e.command[0], map[int]string{
			statusNotFound: "no such file or directory", statusNotExecutable: "cannot be executed"}[status])
		return status, nil
	}
	if err != nil {
		return 0, agentError(err)
	}
	done, err := e.follow(ctx, client, pid)
	if err != nil {
		return 0, err
	}
	return e.print(done)
}

// The pauses between two questions whether a command has ended grow with the time that
// it takes: a short one is noticed at once, a long one costs the guest little.
const (
	firstLook = time.Millisecond
	lastLook  = 50 * time.Millisecond
)

// follow waits for the command's end, passes signals on to it, and ends it when it is
// out of time.
func (e *execution) follow(ctx context.Context, client *agent.Client, pid int64) (agent.Status, error) {
	var deadline <-chan time.Time
	if e.Timeout > 0 {
		deadline = time.After(e.Timeout)
	}
	overrun, kill := false, syscall.SIGTERM
	for pause := firstLook; ; pause = min(pause+pause/2, lastLook) {
		done, err := client.Status(ctx, pid)
		switch {
		case err != nil:
			return done, agentError(err)
		case done.Exited && overrun:
			return done, errOverrun(e.Timeout)
		case done.Exited:
			return done, nil
		}
		select {
		case <-time.After(pause):
		case s := <-e.Signals:
			err = signalByAgent(ctx, client, pid, s)
		case <-deadline:
			err = signalByAgent(ctx, client, pid, kill)
			overrun, kill, deadline = true, syscall.SIGKILL, time.After(killTime)
		case <-ctx.Done():
			return done, ctx.Err()
		}
		if err != nil {
			return done, agentError(err)
		}
	}
}

// signalByAgent has the guest's shell send a signal to a process: the agent itself
// cannot.
func signalByAgent(ctx context.Context, client *agent.Client, pid int64, s os.Signal) error {
	number, ok := s.(syscall.Signal)
	if !ok {
		return nil
	}
	name := strings.TrimPrefix(unix.SignalName(number), "SIG")
	_, err := client.Exec(ctx, agent.Command{Path: "sh", Args: []string{"-c", fmt.Sprintf("kill -%s %d", name, pid)}})
	return err
}

// print writes what the command has printed and returns its status.
func (e *execution) print(done agent.Status) (int, error) {
	_, err := e.Stdout.Write(done.Out)
	_, err2 := e.Stderr.Write(done.Err)
	switch {
	case err != nil || err2 != nil:
		return 0, errors.Join(err, err2)
	case done.OutTruncated || done.ErrTruncated:
		return 0, fail(KindGuest, "use SSH, by --by ssh, or have it write to a file and copy that",
			"the command has ended and printed more than the guest's agent keeps; the rest is lost")
	case done.Signal != 0:
		return statusSignal + done.Signal&0x7f, nil
	}
	return done.ExitCode & 0xff, nil
}

// notExecuted is the status of a command that could not be executed; 0 if it was not
// that. The agent tells the reason in words alone (GLib's, from g_spawn_async).
func notExecuted(err error) int {
	var refused *agent.Refusal
	if !errors.As(err, &refused) || !strings.Contains(refused.Desc, "Failed to execute child process") {
		return 0
	}
	if strings.Contains(refused.Desc, "No such file or directory") {
		return statusNotFound
	}
	return statusNotExecutable
}
