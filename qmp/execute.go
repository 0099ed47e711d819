package qmp

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"os"
)

// MaxUnanswered is how many commands may be without a reply at one time,
// counting those whose callers gave up; see ErrStalled.
const MaxUnanswered = 1024

// Execute runs a command and waits for its reply.
//
// args is encoded by encoding/json and must become a JSON object; nil means no
// arguments. The reply's value is decoded into result unless that is nil.
// Fields that a type does not mention are ignored, as newer QEMUs add some.
//
// A refusal by QEMU is a [CommandError]. When ctx ends first, the call returns
// its error at once, but QEMU may still carry the command out; the late reply
// is dropped. When the connection ends, the error is the one of [Client.Err].
func (c *Client) Execute(ctx context.Context, command string, args, result any) error {
	return c.ExecuteFile(ctx, command, args, result, nil)
}

// ExecuteFile is Execute with a file that travels beside the command by
// SCM_RIGHTS, as getfd and add-fd want it; QEMU takes one per command. The
// file stays the caller's, who may close it on return: QEMU gets a descriptor
// of its own. If ctx ends the call, QEMU may have got it all the same.
func (c *Client) ExecuteFile(ctx context.Context, command string, args, result any, f *os.File) error {
	encoded, err := json.Marshal(args)
	if err != nil {
		return fmt.Errorf("qmp: %s: encode arguments: %w", command, err)
	}
	reply, err := c.roundTrip(ctx, command, encoded, f)
	if err != nil || result == nil {
		return err
	}
	if err := json.Unmarshal(reply, result); err != nil {
		return fmt.Errorf("qmp: %s: decode reply: %w", command, err)
	}
	return nil
}

// ExecuteRaw is Execute for arguments and replies that are JSON already. nil
// and empty args mean no arguments. The reply is the caller's own.
func (c *Client) ExecuteRaw(ctx context.Context, command string, args json.RawMessage) (json.RawMessage, error) {
	var compact bytes.Buffer
	if len(args) > 0 {
		if err := json.Compact(&compact, args); err != nil {
			return nil, fmt.Errorf("qmp: %s: arguments are no JSON: %w", command, err)
		}
	}
	return c.roundTrip(ctx, command, compact.Bytes(), nil)
}

// PassFile gives QEMU a descriptor of f's under a name that later commands and
// their fd= options can use (QMP's getfd). A name in use is taken over: QEMU
// closes the descriptor it had. The file stays the caller's; see ExecuteFile.
func (c *Client) PassFile(ctx context.Context, name string, f *os.File) error {
	args := struct {
		Name string `json:"fdname"`
	}{name}
	return c.ExecuteFile(ctx, "getfd", args, nil, f)
}

// roundTrip sends a command and returns the value of its reply. args is compact
// JSON; none and null mean no arguments.
func (c *Client) roundTrip(ctx context.Context, command string, args []byte, f *os.File) (json.RawMessage, error) {
	if len(args) == 0 || string(args) == "null" {
		args = nil
	}
	pending, err := c.send(ctx, command, args, f)
	if err != nil {
		return nil, fmt.Errorf("qmp: %s: %w", command, err)
	}
	select {
	case out := <-pending.outcome:
		return out.value, out.err
	case <-ctx.Done():
	}
	if c.waits(pending) {
		return nil, fmt.Errorf("qmp: %s: no reply: %w", command, contextError(ctx))
	}
	out := <-pending.outcome // it came at the same moment
	return out.value, out.err
}
