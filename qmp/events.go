package qmp

// MaxEvent is the longest event, in bytes as sent, that is passed on. QEMU's
// are a few hundred bytes long; longer ones count as dropped.
const MaxEvent = 64 << 10

// earlyEvents is how many events are kept for the first subscriber.
const earlyEvents = 32

// A Subscription is a queue of the events that QEMU sends. When the queue is
// full, the oldest event in it makes room for the new one: what QEMU said last
// (that it shut down, say) is worth more than what it said first.
type Subscription struct {
	// C delivers the events in the order QEMU sent them. It is closed by Close
	// and, once the queue is empty, after the connection has ended.
	C <-chan Event

	client  *Client
	queue   chan Event // C; sent to and closed under client.mu only
	dropped uint64     // guarded by client.mu
}

// Subscribe makes a queue for at most capacity events (at least one), which
// bounds its memory: an event has at most MaxEvent bytes on the wire. Events
// from now on go to it; the first subscription of a client also gets those that
// came since the handshake (the last 32), so that none is lost between [Dial]
// and Subscribe.
//
// An event that QEMU sent before a reply is in the queue when the call that got
// the reply returns. Every subscription has its own copy of an event. A
// subscriber need not read, nor close what it does not need any more before the
// client is closed.
func (c *Client) Subscribe(capacity int) *Subscription {
	queue := make(chan Event, max(capacity, 1))
	s := &Subscription{C: queue, queue: queue, client: c}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.feed.add(s)
	return s
}

// Dropped returns how many events were lost so far: because the queue was full,
// or because they were longer than MaxEvent.
func (s *Subscription) Dropped() uint64 {
	s.client.mu.Lock()
	defer s.client.mu.Unlock()
	return s.dropped
}

// Close ends the subscription and closes C. It may be called more than once.
func (s *Subscription) Close() {
	s.client.mu.Lock()
	defer s.client.mu.Unlock()
	s.client.feed.remove(s)
}

// offer queues an event without ever waiting.
func (s *Subscription) offer(ev Event) {
	for {
		select {
		case s.queue <- ev:
			return
		default:
		}
		select {
		case <-s.queue:
			s.dropped++
		default: // the subscriber was quicker
		}
	}
}

// A feed spreads events among subscriptions. Its methods never block; the
// client's mutex guards it.
type feed struct {
	subs    []*Subscription
	early   []Event // those before the first subscription
	missed  uint64  // early ones that were dropped
	started bool    // there was a first subscription
	ended   bool    // there will be no more events
}

// publish gives an event to everyone. Its error says that it is malformed.
func (f *feed) publish(m *message) error {
	if m.size > MaxEvent {
		f.skip()
		return nil
	}
	if !f.started {
		return f.keep(m)
	}
	for _, s := range f.subs {
		ev, err := m.event() // for each its own: Data is a map
		if err != nil {
			return err
		}
		s.offer(ev)
	}
	return nil
}

// skip counts an event that nobody gets.
func (f *feed) skip() {
	if !f.started {
		f.missed++
	}
	for _, s := range f.subs {
		s.dropped++
	}
}

// keep puts an event aside for the first subscription.
func (f *feed) keep(m *message) error {
	ev, err := m.event()
	if err != nil {
		return err
	}
	if len(f.early) == earlyEvents {
		f.early = append(f.early[:0], f.early[1:]...)
		f.missed++
	}
	f.early = append(f.early, ev)
	return nil
}

// add begins a subscription, with what was kept if it is the first.
func (f *feed) add(s *Subscription) {
	if !f.started {
		s.dropped = f.missed
		for _, ev := range f.early {
			s.offer(ev)
		}
		f.started, f.early = true, nil
	}
	if f.ended {
		close(s.queue)
		return
	}
	f.subs = append(f.subs, s)
}

// remove ends a subscription unless it has ended already.
func (f *feed) remove(s *Subscription) {
	for i, other := range f.subs {
		if other == s {
			f.subs = append(f.subs[:i], f.subs[i+1:]...)
			close(s.queue)
			return
		}
	}
}

// end ends all subscriptions, because no more events can come.
func (f *feed) end() {
	for _, s := range f.subs {
		close(s.queue)
	}
	f.subs, f.ended = nil, true
}
