package dhcp

import "time"

// A guest that asks more often than this is made to wait. Asking at every boot
// and every second stays far below it.
const (
	requestsPerSecond = 100
	requestBurst      = 50
)

// bucket is a token bucket that holds requestBurst tokens and gains
// requestsPerSecond.
type bucket struct {
	tokens float64
	filled time.Time
}

// take takes a token and returns how long to wait until it is there; the zero
// bucket is full.
func (b *bucket) take(now time.Time) time.Duration {
	if b.filled.IsZero() {
		b.tokens = requestBurst
	} else {
		gained := now.Sub(b.filled).Seconds() * requestsPerSecond
		b.tokens = min(b.tokens+max(gained, 0), requestBurst)
	}
	b.filled = now
	b.tokens--
	if b.tokens >= 0 {
		return 0
	}
	return time.Duration(-b.tokens / requestsPerSecond * float64(time.Second))
}
