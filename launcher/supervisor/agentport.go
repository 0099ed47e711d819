package supervisor

import (
	"context"
	"fmt"
	"time"

	"kvmrun/launcher/agent"
	"kvmrun/launcher/qemu"
	"kvmrun/launcher/vmdir"
	"kvmrun/qmp"
)

// openAgentPort makes the pipes to the port of the guest's agent. QEMU reaches them by
// their open folder.
func (s *supervisor) openAgentPort(config *qemu.Config, h *handover) error {
	folder, err := agent.Make(s.dir.File(vmdir.AgentFolder), s.spec.RunAs.UID, s.spec.RunAs.GID)
	if err != nil {
		return fmt.Errorf("the guest agent's port: %w", err)
	}
	config.Agent = qemu.Source(fmt.Sprintf("/proc/self/fd/%d/%s", h.give(folder), agent.Pipes))
	return nil
}

// agentTurned takes an event of QEMU's about the ports. QEMU sends one in a second at
// most (monitor/monitor.c), however often the guest opens and closes one.
func (s *supervisor) agentTurned(e qmp.Event, when time.Time) {
	if open, ok := e.Data["open"].(bool); ok && e.Data["id"] == qemu.AgentPort {
		s.agentHas(open, when)
	}
}

// agentHas notes whether the guest's agent has its port open.
func (s *supervisor) agentHas(open bool, when time.Time) {
	switch {
	case open == !s.state.Agent.IsZero():
		return
	case open:
		s.state.Agent = when.UTC()
	default:
		s.state.Agent = time.Time{}
	}
	s.settle(s.save())
}

// queryAgentPort asks QEMU whether the guest's agent has its port open.
func queryAgentPort(ctx context.Context, client *qmp.Client) (open bool, err error) {
	var devices []struct {
		Label string
		Open  bool `json:"frontend-open"`
	}
	if err := client.Execute(ctx, "query-chardev", nil, &devices); err != nil {
		return false, err
	}
	for _, d := range devices {
		if d.Label == qemu.AgentPort {
			return d.Open, nil
		}
	}
	return false, nil
}
