package qmp

// Unanswered returns how many commands were sent and not answered.
func (c *Client) Unanswered() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return len(c.calls)
}
