package supervisor

import (
	"testing"
	"time"
)

// TestEffortIsBounded has somebody change a thing back at once, for an hour.
func TestEffortIsBounded(t *testing.T) {
	e := efforts{}
	start := time.Unix(1e9, 0)
	repairs, first := 0, 0
	for at := time.Duration(0); at < time.Hour; at += 30 * time.Millisecond {
		if e.may("route", start.Add(at)) {
			repairs++
			if at < effortWindow {
				first++
			}
		}
		if len(e.settled(start.Add(at))) > 0 {
			t.Fatalf("called settled after %v", at)
		}
	}
	if first != effortMost {
		t.Errorf("%d repairs in the first %v, want %d", first, effortWindow, effortMost)
	}
	if most := effortMost * (int(time.Hour/longestPause) + 3); repairs > most || repairs < most/2 {
		t.Errorf("%d repairs in an hour, want about %d", repairs, most)
	}
	if !e.contested("route") || !e.may("address", start) || e.contested("address") {
		t.Error("the steps are not told apart")
	}
}

// TestEffortIsForgotten once there is peace: then all begins anew.
func TestEffortIsForgotten(t *testing.T) {
	e := efforts{}
	now := time.Unix(1e9, 0)
	for e.may("route", now) {
		now = now.Add(time.Millisecond)
	}
	e.may("address", now)
	if got := e.settled(now.Add(effortWindow / 2)); got != nil {
		t.Errorf("settled too soon: %q", got)
	}
	now = now.Add(effortWindow + time.Second)
	if !e.may("route", now) {
		t.Error("not repaired after the pause")
	}
	if got := e.settled(now.Add(effortWindow + time.Second)); len(got) != 1 || got[0] != "route" {
		t.Errorf("settled: %q, want the route alone", got)
	}
	if e.contested("route") || len(e) > 0 {
		t.Errorf("not forgotten: %+v", e)
	}
	// A repair now and then is nothing to pause for.
	for range 100 {
		now = now.Add(effortWindow / (effortMost - 1))
		if !e.may("route", now) {
			t.Fatal("paused without need")
		}
	}
}
