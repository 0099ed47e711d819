package launcher

import (
	"context"
	"errors"
	"time"

	"kvmrun/launcher/agent"
	"kvmrun/launcher/vmdir"
)

// agentThere tells whether the guest's agent has its port open, so that it can be asked.
func agentThere(vm *Details) bool { return !vm.Details.Agent.IsZero() }

// pingTime is how long an agent that has just opened its port may take to answer before
// it is asked again: it may have been started anew meanwhile.
const pingTime = 2 * time.Second

// askAgent returns nil as soon as the guest's agent answers, and says when the context
// ends why it does not.
func askAgent(ctx context.Context, _ *Launcher, vm *Details) error {
	port, err := agent.Open(vmdir.Dir{Name: vm.Name, Path: vm.Dir}.File(vmdir.AgentFolder))
	if err != nil {
		return err
	}
	defer port.Close()
	client := agent.New(port)
	for {
		attempt, cancel := context.WithTimeout(ctx, pingTime)
		err := client.Ping(attempt)
		cancel()
		if err == nil || errors.As(err, new(*agent.Refusal)) { // that is an answer, too
			return nil
		}
		if ctx.Err() != nil {
			return errNoAnswer
		}
		select {
		case <-time.After(knockInterval):
		case <-ctx.Done():
			return errNoAnswer
		}
	}
}
