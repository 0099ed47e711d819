package agent

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"time"
)

// answerTime is how long the agent may take for one answer. A guest whose processor is
// emulated, on a busy machine, can take seconds.
const answerTime = 30 * time.Second

// ErrSilent says that the agent has not answered in time.
var ErrSilent = errors.New("the guest agent does not answer")

// Refusal is the agent's own error.
type Refusal struct {
	Command, Class, Desc string // Desc is the guest's: a terminal may obey it
}

func (r *Refusal) Error() string { return fmt.Sprintf("%s: %s", r.Command, r.Desc) }

// Unknown tells whether the agent does not know the command, or may not execute it.
func (r *Refusal) Unknown() bool {
	return r.Class == "CommandNotFound" || r.Class == "CommandDisabled"
}

// Client asks the agent, one question after another. It is for one goroutine at a time.
type Client struct {
	port   *Port
	reader reader
}

// New makes a client of a port, which stays the caller's.
func New(p *Port) *Client { return &Client{port: p, reader: reader{src: p.Out}} }

// question is a command as the agent reads it.
type question struct {
	Execute   string `json:"execute"`
	Arguments any    `json:"arguments,omitempty"`
}

// call asks the agent for something. arguments may be nil, and so may result, into which
// the answer is parsed. If the context ends first, the agent may have done it all the
// same.
func (c *Client) call(ctx context.Context, command string, arguments, result any) error {
	text, err := json.Marshal(question{command, arguments})
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, answerTime)
	defer cancel()
	if err := c.port.lock(ctx); err != nil {
		return err
	}
	defer c.port.unlock()
	defer c.reader.forget()
	defer c.until(ctx)()
	if c.port.owed() {
		if err := c.synchronise(); err != nil {
			return c.why(ctx, err)
		}
	}
	if err := c.port.mark(owing); err != nil {
		return err
	}
	if _, err := c.port.In.Write(append(text, '\n')); err != nil {
		return c.why(ctx, err)
	}
	line, err := c.reader.line()
	if err != nil {
		return c.why(ctx, err)
	}
	err = parse(line, command, result)
	if refused := (*Refusal)(nil); err != nil && !errors.As(err, &refused) {
		return err // nobody knows whose answer that was
	}
	return errors.Join(err, c.port.mark(settled))
}

// until has reads and writes end when the context does, until the returned function is
// called.
func (c *Client) until(ctx context.Context) (done func()) {
	for _, f := range []*os.File{c.port.In, c.port.Out} {
		_ = f.SetDeadline(time.Time{})
	}
	stop := context.AfterFunc(ctx, func() {
		for _, f := range []*os.File{c.port.In, c.port.Out} {
			_ = f.SetDeadline(time.Unix(1, 0))
		}
	})
	return func() { stop() }
}

// why says why nothing came: the caller has given up, the agent is silent, or QEMU has
// closed the pipe.
func (c *Client) why(ctx context.Context, err error) error {
	switch {
	case errors.Is(ctx.Err(), context.Canceled):
		return ctx.Err()
	case errors.Is(err, os.ErrDeadlineExceeded):
		return fmt.Errorf("%w: %w", ErrSilent, context.DeadlineExceeded)
	case errors.Is(err, io.EOF):
		return errors.New("QEMU has ended")
	}
	return err
}

// synchronise throws away what others have left, by a number that the agent says again
// (guest-sync-delimited).
func (c *Client) synchronise() error {
	id := rand.Int64N(1 << 53) // what JSON's readers can tell apart
	text := fmt.Appendf([]byte{delimiter}, `{"execute":"guest-sync-delimited","arguments":{"id":%d}}`+"\n", id)
	if err := c.port.mark(owing); err != nil {
		return err
	}
	if _, err := c.port.In.Write(text); err != nil {
		return err
	}
	for {
		line, err := c.reader.afterDelimiter()
		if err != nil {
			return err
		}
		var answer int64
		if parse(line, "guest-sync-delimited", &answer) == nil && answer == id {
			return nil
		}
	}
}

// parse reads an answer.
func parse(line []byte, command string, result any) error {
	var answer struct {
		Return json.RawMessage `json:"return"`
		Error  *struct{ Class, Desc string }
	}
	if err := json.Unmarshal(bytes.Trim(line, "\xff"), &answer); err != nil {
		return fmt.Errorf("%s: what the guest agent says is no answer: %w", command, err)
	}
	switch {
	case answer.Error != nil:
		return &Refusal{Command: command, Class: answer.Error.Class, Desc: answer.Error.Desc}
	case answer.Return == nil:
		return fmt.Errorf("%s: what the guest agent says is no answer", command)
	case result == nil:
		return nil
	}
	if err := json.Unmarshal(answer.Return, result); err != nil {
		return fmt.Errorf("%s: the guest agent's answer is of another kind: %w", command, err)
	}
	return nil
}
