package qmp

import (
	"testing"
	"time"
)

// A burst passes at once, a flood at the rate, and after a rest a burst again.
func TestPace(t *testing.T) {
	var p pace
	now := time.Unix(1000, 0)
	flood := func(lines int) (waited time.Duration) {
		for range lines {
			wait := p.take(200, now)
			waited += wait
			now = now.Add(wait)
		}
		return waited
	}
	const cost = 200 + lineCost
	if waited := flood(paceBurst / cost); waited != 0 {
		t.Errorf("a burst waits %v", waited)
	}
	const seconds = 10
	if waited := flood(seconds * pacePerSecond / cost); waited < (seconds-1)*time.Second || waited > (seconds+1)*time.Second {
		t.Errorf("what is to take %d s waits %v", seconds, waited)
	}
	now = now.Add(time.Hour)
	if waited := flood(paceBurst / cost); waited != 0 {
		t.Errorf("a burst after a rest waits %v", waited)
	}
	now = now.Add(-time.Hour) // a clock that is put back
	if wait := p.take(0, now); wait > time.Second {
		t.Errorf("a clock that is put back costs %v", wait)
	}
}
