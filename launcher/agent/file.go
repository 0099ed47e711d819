package agent

import (
	"context"
	"errors"
)

// ErrTooBig says that a file is longer than it may be.
var ErrTooBig = errors.New("the guest's file is too long")

// ReadFile reads a file of the guest's, of at most so many bytes (guest-file-open, -read
// and -close). One that is not there is a Refusal.
func (c *Client) ReadFile(ctx context.Context, path string, most int) ([]byte, error) {
	var handle int64
	if err := c.call(ctx, "guest-file-open", map[string]string{"path": path, "mode": "r"}, &handle); err != nil {
		return nil, err
	}
	text, err := c.readAll(ctx, handle, most)
	return text, errors.Join(err, c.call(ctx, "guest-file-close", map[string]int64{"handle": handle}, nil))
}

func (c *Client) readAll(ctx context.Context, handle int64, most int) (text []byte, err error) {
	for {
		var piece struct {
			Buf []byte `json:"buf-b64"`
			EOF bool   `json:"eof"`
		}
		err := c.call(ctx, "guest-file-read", map[string]int64{"handle": handle, "count": chunk}, &piece)
		switch text = append(text, piece.Buf...); {
		case err != nil:
			return nil, err
		case len(text) > most:
			return nil, ErrTooBig
		case piece.EOF || len(piece.Buf) == 0:
			return text, nil
		}
	}
}
