package qemu

// AgentPort is the port's identifier, by which QEMU's events and answers call it.
const AgentPort = "agent0"

// agentName is how the guest agent finds its port (docs of QEMU: interop/qemu-ga).
const agentName = "org.qemu.guest_agent.0"

// agent is a virtio port for the guest's agent. Its bus comes behind the other devices,
// so that none of those moves to another slot.
func (c Config) agent() []string {
	if c.Agent == "" {
		return nil
	}
	return []string{
		"-device", c.virtio("serial") + ",id=ports0",
		"-chardev", "pipe,id=" + AgentPort + ",path=" + escape(string(c.Agent)),
		"-device", "virtserialport,bus=ports0.0,id=" + AgentPort + ",chardev=" + AgentPort + ",name=" + agentName,
	}
}
