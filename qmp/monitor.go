package qmp

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"

	goqemu "github.com/digitalocean/go-qemu/qmp"
)

// monitorEvents is the capacity of the subscriptions that a Monitor makes.
const monitorEvents = 256

// A Monitor is a [Client] in the shape that go-qemu expects, for its
// qemu.NewDomain and everything else that takes its qmp.Monitor.
type Monitor struct {
	ctx    context.Context
	client *Client
}

var _ goqemu.Monitor = (*Monitor)(nil)

// Monitor returns a go-qemu monitor on this client. As go-qemu's Run takes no
// context, ctx bounds every call made through it.
func (c *Client) Monitor(ctx context.Context) *Monitor {
	return &Monitor{ctx: ctx, client: c}
}

// Connect does nothing, as a Client is connected from the start. It returns why
// the connection ended if it has.
func (m *Monitor) Connect() error { return m.client.Err() }

// Disconnect closes the client.
func (m *Monitor) Disconnect() error { return m.client.Close() }

// Run executes a command, given as a JSON object with "execute" and perhaps
// "arguments" and "id", and returns QEMU's whole reply: an object with "return"
// and the given "id". A refusal by QEMU is a [CommandError].
func (m *Monitor) Run(command []byte) ([]byte, error) {
	var cmd struct {
		Execute   string          `json:"execute"`
		OutOfBand string          `json:"exec-oob"`
		Arguments json.RawMessage `json:"arguments"`
		ID        json.RawMessage `json:"id"`
	}
	if err := json.Unmarshal(command, &cmd); err != nil {
		return nil, fmt.Errorf("qmp: command is no JSON object: %w", err)
	}
	switch {
	case cmd.OutOfBand != "":
		return nil, fmt.Errorf("qmp: %s: out-of-band execution is not enabled on this monitor", cmd.OutOfBand)
	case cmd.Execute == "":
		return nil, errors.New(`qmp: command has no "execute"`)
	}
	value, err := m.client.ExecuteRaw(m.ctx, cmd.Execute, cmd.Arguments)
	if err != nil {
		return nil, err
	}
	return json.Marshal(struct {
		Return json.RawMessage `json:"return"`
		ID     json.RawMessage `json:"id,omitempty"`
	}{value, cmd.ID})
}

// Events subscribes to QEMU's events until ctx or the connection ends, which
// closes the channel. A reader that falls behind loses the oldest events; use
// [Client.Subscribe] to choose the capacity and to learn of losses.
func (m *Monitor) Events(ctx context.Context) (<-chan goqemu.Event, error) {
	if err := m.client.Err(); err != nil {
		return nil, fmt.Errorf("qmp: subscribe to events: %w", err)
	}
	sub := m.client.Subscribe(monitorEvents)
	context.AfterFunc(ctx, sub.Close)
	return sub.C, nil
}
