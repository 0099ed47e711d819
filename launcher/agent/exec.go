package agent

import "context"

// Ping returns when the agent has answered.
func (c *Client) Ping(ctx context.Context) error { return c.call(ctx, "guest-ping", nil, nil) }

// Command is a program to execute in the guest.
type Command struct {
	Path string   `json:"path"` // looked for in the agent's PATH
	Args []string `json:"arg,omitempty"`
	// Input is its whole standard input.
	Input []byte `json:"input-data,omitempty"`
	// Capture has the agent keep what the program prints, up to 16 MiB on each stream.
	Capture bool `json:"capture-output,omitempty"`
}

// Exec executes a program in the guest, as the user that the agent is, and returns its
// process ID there (guest-exec).
func (c *Client) Exec(ctx context.Context, command Command) (pid int64, err error) {
	var started struct {
		PID int64 `json:"pid"`
	}
	err = c.call(ctx, "guest-exec", command, &started)
	return started.PID, err
}

// Status is how far a program has come.
type Status struct {
	Exited   bool   `json:"exited"`
	ExitCode int    `json:"exitcode"`
	Signal   int    `json:"signal"`   // that ended it; 0 if none did
	Out      []byte `json:"out-data"` // once it has exited, if that was captured
	Err      []byte `json:"err-data"`
	// More was printed than is kept.
	OutTruncated bool `json:"out-truncated"`
	ErrTruncated bool `json:"err-truncated"`
}

// Status tells how far a program has come. The agent forgets one that has exited when
// it has told so (guest-exec-status).
func (c *Client) Status(ctx context.Context, pid int64) (Status, error) {
	var s Status
	err := c.call(ctx, "guest-exec-status", map[string]int64{"pid": pid}, &s)
	return s, err
}
