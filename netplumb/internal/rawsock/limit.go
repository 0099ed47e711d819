package rawsock

import (
	"context"
	"sync"
	"time"
)

// Rate is how often something may happen: PerSecond in the long run, and Burst
// times at once after a pause.
type Rate struct {
	PerSecond int
	Burst     int
}

// Limit makes its callers keep a rate.
type Limit struct {
	mu     sync.Mutex
	bucket bucket
}

// NewLimit returns a limit that has its whole burst to give.
func NewLimit(rate Rate) *Limit { return &Limit{bucket: bucket{rate: rate}} }

// Wait waits for the caller's turn. It fails with the context's error when that ends
// first.
func (l *Limit) Wait(ctx context.Context) error {
	l.mu.Lock()
	wait := l.bucket.take(time.Now())
	l.mu.Unlock()
	if wait <= 0 {
		return nil
	}
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-time.After(wait):
		return nil
	}
}

// bucket is a token bucket that holds a rate's burst; a new one is full.
type bucket struct {
	rate   Rate
	tokens float64
	filled time.Time
}

// take takes a token and returns how long to wait until it is there.
func (b *bucket) take(now time.Time) time.Duration {
	perSecond, burst := float64(b.rate.PerSecond), float64(b.rate.Burst)
	if b.filled.IsZero() {
		b.tokens = burst
	} else {
		gained := now.Sub(b.filled).Seconds() * perSecond
		b.tokens = min(b.tokens+max(gained, 0), burst)
	}
	b.filled = now
	b.tokens--
	if b.tokens >= 0 {
		return 0
	}
	return time.Duration(-b.tokens / perSecond * float64(time.Second))
}
