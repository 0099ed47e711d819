package qmp

import (
	"encoding/json"
	"fmt"
)

// A call is a command that was sent and not answered yet.
type call struct {
	id      uint64
	command string
	outcome chan outcome // has room for it, so that nobody need wait for it
}

// An outcome is what became of a call.
type outcome struct {
	value json.RawMessage
	err   error
}

// register makes a call for a command that is about to be written. Callers hold
// the writing token, so that ids are in the order of writing.
func (c *Client) register(command string) (*call, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.err != nil {
		return nil, c.err
	}
	if len(c.calls) >= MaxUnanswered {
		return nil, ErrStalled
	}
	c.lastID++
	p := &call{id: c.lastID, command: command, outcome: make(chan outcome, 1)}
	c.calls[p.id] = p
	return p, nil
}

// withdraw forgets a call whose command was not sent.
func (c *Client) withdraw(p *call) {
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.calls, p.id)
}

// waits reports whether a call has no outcome yet. A caller that gives up
// leaves it registered, for its reply to be recognised.
func (c *Client) waits(p *call) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.calls[p.id] == p
}

// answer ends the call that a reply belongs to. Replies to nothing we asked are
// dropped. The caller holds c.mu.
func (c *Client) answer(m *message) {
	var p *call
	if id, ok := m.id(); ok {
		p = c.calls[id]
	} else if m.ID == nil && m.Error != nil {
		// QEMU could not parse a command, thus not read its id either, say for
		// "\u0000" in a string. It takes commands in order: it is the oldest.
		p = c.oldest()
	}
	if p == nil {
		return
	}
	delete(c.calls, p.id)
	value, err := m.outcome(p.command)
	p.outcome <- outcome{value, err}
}

// oldest returns the call that has waited longest, nil if none waits.
func (c *Client) oldest() *call {
	var oldest *call
	for _, p := range c.calls {
		if oldest == nil || p.id < oldest.id {
			oldest = p
		}
	}
	return oldest
}

// failCalls ends every call, for the connection has. The caller holds c.mu.
func (c *Client) failCalls(reason error) {
	for _, p := range c.calls {
		p.outcome <- outcome{err: fmt.Errorf("qmp: %s: %w", p.command, reason)}
	}
	clear(c.calls)
}
