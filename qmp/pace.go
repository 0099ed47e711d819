package qmp

import "time"

// A peer may send this much at once, and this much in a second after that: some
// thousand events, or eight of the longest replies that a healthy QEMU sends. One
// that sends more is made to wait: what it cannot send costs this side nothing.
const (
	paceBurst     = 32 << 20 // bytes
	pacePerSecond = 2 << 20
	// lineCost is what a line costs beside its bytes.
	lineCost = 512
)

// pace is a token bucket of bytes; the zero value is full.
type pace struct {
	tokens float64
	filled time.Time
}

// take takes a line's tokens and returns how long to wait until they are there.
func (p *pace) take(line int, now time.Time) time.Duration {
	if p.filled.IsZero() {
		p.tokens, p.filled = paceBurst, now
	}
	p.tokens = min(p.tokens+max(now.Sub(p.filled).Seconds(), 0)*pacePerSecond, paceBurst)
	p.filled = now
	p.tokens -= float64(line + lineCost)
	if p.tokens >= 0 {
		return 0
	}
	return time.Duration(-p.tokens / pacePerSecond * float64(time.Second))
}
