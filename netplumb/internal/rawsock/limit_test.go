package rawsock

import (
	"testing"
	"time"
)

func TestBucket(t *testing.T) {
	rate := Rate{PerSecond: 100, Burst: 50}
	b := bucket{rate: rate}
	now := time.Unix(1000, 0)
	for i := range rate.Burst {
		if wait := b.take(now); wait != 0 {
			t.Fatalf("take %d of a burst waits %v", i, wait)
		}
	}
	if wait := b.take(now); wait != time.Second/100 {
		t.Errorf("one beyond the burst waits %v", wait)
	}
	if wait := b.take(now.Add(-time.Hour)); wait <= 0 || wait > time.Second {
		t.Errorf("after the clock went back: wait %v", wait)
	}
	now = now.Add(time.Hour)
	for range rate.Burst {
		if wait := b.take(now); wait != 0 {
			t.Fatalf("after an hour: wait %v", wait)
		}
	}
	if b.take(now) == 0 {
		t.Error("an hour saved up more than a burst")
	}
}
