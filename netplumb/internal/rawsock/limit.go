package rawsock

import "time"

// Rate is how often something may happen: PerSecond in the long run, and Burst
// times at once after a pause.
type Rate struct {
	PerSecond int
	Burst     int
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
