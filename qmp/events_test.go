package qmp_test

import (
	"fmt"
	"runtime"
	"strings"
	"testing"

	"kvmrun/qmp"
)

// numbered is an event with a number to know it by.
func numbered(n int) string {
	return fmt.Sprintf(`{"event": "N", "data": {"n": %d}, "timestamp": {"seconds": 1, "microseconds": 2}}`+"\n", n)
}

// settle returns when the client has dealt with all that the peer sent before.
func settle(t *testing.T, c *qmp.Client) {
	t.Helper()
	if err := c.Execute(within(t, patience), "sync", nil, nil); err != nil {
		t.Fatal(err)
	}
}

// numbers takes the events that are in the queue.
func numbers(s *qmp.Subscription) (got []int) {
	for len(s.C) > 0 {
		ev := <-s.C
		got = append(got, int(ev.Data["n"].(float64)))
	}
	return got
}

// batches plays a peer that sends the next batch of numbered events before it
// answers each command.
func batches(sizes ...int) func(*peer) {
	return func(p *peer) {
		n := 0
		for _, size := range sizes {
			r := p.receive()
			for range size {
				n++
				p.send(numbered(n))
			}
			p.answer(r, `{}`)
		}
		p.discard()
	}
}

func TestFullQueueLosesTheOldest(t *testing.T) {
	c := dialPeer(t, batches(5, 2))
	small, large := c.Subscribe(3), c.Subscribe(10)
	settle(t, c)
	for _, tc := range []struct {
		sub     *qmp.Subscription
		want    string
		dropped uint64
	}{
		{small, "[3 4 5]", 2},
		{large, "[1 2 3 4 5]", 0},
	} {
		if got := fmt.Sprint(numbers(tc.sub)); got != tc.want || tc.sub.Dropped() != tc.dropped {
			t.Errorf("got %s with %d dropped, want %s with %d", got, tc.sub.Dropped(), tc.want, tc.dropped)
		}
	}
	settle(t, c)
	if got := fmt.Sprint(numbers(small)); got != "[6 7]" || small.Dropped() != 2 {
		t.Errorf("after the queue was read: %s, %d dropped", got, small.Dropped())
	}
}

func TestEventsBeforeTheFirstSubscription(t *testing.T) {
	c := dialPeer(t, batches(40, 1))
	settle(t, c)
	first, second := c.Subscribe(100), c.Subscribe(100)
	got := numbers(first)
	if len(got) != 32 || got[0] != 9 || got[31] != 40 || first.Dropped() != 8 {
		t.Errorf("first subscription: %v, %d dropped", got, first.Dropped())
	}
	if got := numbers(second); len(got) != 0 || second.Dropped() != 0 {
		t.Errorf("second subscription: %v, %d dropped", got, second.Dropped())
	}
	settle(t, c)
	for _, s := range []*qmp.Subscription{first, second} {
		if got := fmt.Sprint(numbers(s)); got != "[41]" {
			t.Errorf("then: %s", got)
		}
	}
}

func TestSubscriptionEnds(t *testing.T) {
	c := dialPeer(t, batches(1, 1))
	closed, open := c.Subscribe(0), c.Subscribe(0)
	settle(t, c)
	closed.Close()
	closed.Close()
	settle(t, c)
	if got := fmt.Sprint(numbers(closed)); got != "[1]" {
		t.Errorf("closed subscription: %s", got)
	}
	if _, more := <-closed.C; more {
		t.Error("an event came after Close")
	}
	_ = c.Close()
	if ev := <-open.C; ev.Data["n"] != 2.0 {
		t.Errorf("queued event after the client was closed: %+v", ev)
	}
	if _, more := <-open.C; more {
		t.Error("the channel is open after the client was closed")
	}
	open.Close()
}

func TestSubscribersHaveTheirOwnData(t *testing.T) {
	c := dialPeer(t, batches(1))
	one, other := c.Subscribe(1), c.Subscribe(1)
	settle(t, c)
	ev := <-one.C
	ev.Data["n"] = "changed"
	if got := (<-other.C).Data["n"]; got != 1.0 {
		t.Errorf("the other subscriber sees %v", got)
	}
}

func TestOverlongEventIsDropped(t *testing.T) {
	long := `{"event": "LONG", "data": {"x": "` + strings.Repeat("x", qmp.MaxEvent) + `"}}` + "\n"
	c := dialPeer(t, func(p *peer) {
		for range 2 {
			r := p.receive()
			p.send(long + numbered(1))
			p.answer(r, `{}`)
		}
		p.discard()
	})
	settle(t, c)
	sub := c.Subscribe(8)
	settle(t, c)
	if got := fmt.Sprint(numbers(sub)); got != "[1 1]" || sub.Dropped() != 2 {
		t.Errorf("%s, %d dropped", got, sub.Dropped())
	}
}

// A flood that nobody reads must hold up neither replies nor Close, nor pile
// up in memory.
func TestFloodOfEvents(t *testing.T) {
	const events = 5000
	padding := strings.Repeat("x", 1000)
	c := dialPeer(t, func(p *peer) {
		r := p.receive()
		for range events {
			p.send(`{"event": "FLOOD", "data": {"padding": "` + padding + `"}}` + "\n")
		}
		p.answer(r, `{}`)
		for p.send(numbered(0)) { // until the client has gone
		}
	})
	sub := c.Subscribe(16)
	before := heap()
	settle(t, c)
	if grown := heap() - before; grown > 1<<20 {
		t.Errorf("%d events left %d bytes on the heap", events, grown)
	}
	if got := sub.Dropped(); got < events-16 {
		t.Errorf("%d events dropped, want at least %d", got, events-16)
	}
	if err := c.Close(); err != nil {
		t.Error(err)
	}
}

// heap returns how many bytes live on the heap.
func heap() int64 {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}
