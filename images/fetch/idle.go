package fetch

import (
	"context"
	"errors"
	"io"
	"time"
)

// errIdle is why a silent connection was given up.
var errIdle = errors.New("nothing, or next to nothing, came for too long")

// idleQuantum is how many bytes must come before the patience with a server
// begins anew: one that sends a byte a minute is no better than a silent one.
const idleQuantum = 4 << 10

// idle ends a context when nothing has happened for some time.
type idle struct {
	timer    *time.Timer
	patience time.Duration
	got      int
}

// watchIdle begins the time. The returned function must be called.
func watchIdle(ctx context.Context, patience time.Duration) (context.Context, *idle, context.CancelFunc) {
	ctx, cancel := context.WithCancelCause(ctx)
	i := &idle{patience: patience, timer: time.AfterFunc(patience, func() { cancel(errIdle) })}
	return ctx, i, func() {
		i.timer.Stop()
		cancel(nil)
	}
}

// answered begins the time anew: the header has come.
func (i *idle) answered() { i.timer.Reset(i.patience) }

// reader counts what comes from r.
func (i *idle) reader(r io.Reader) io.Reader { return &idleReader{idle: i, r: r} }

type idleReader struct {
	*idle
	r io.Reader
}

func (i *idleReader) Read(p []byte) (int, error) {
	n, err := i.r.Read(p)
	if i.got += n; i.got >= idleQuantum {
		i.got = 0
		i.timer.Reset(i.patience)
	}
	return n, err
}

// failed is the failure of a request, unless its context was ended: from
// outside, or because nothing came.
func failed(outer, inner context.Context, explained *Error) error {
	if err := outer.Err(); err != nil {
		return err
	}
	if errors.Is(context.Cause(inner), errIdle) {
		return connectionBroke(errIdle)
	}
	return explained
}
