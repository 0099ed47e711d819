package supervisor

import (
	"context"
	"time"
)

// missedPause is how seldom QEMU is asked what it said while it says too much.
const missedPause = time.Second

// makeUp asks QEMU how its guest is if events of QEMU's were lost: a STOP or a
// RESUME may have been among them. That happens where a guest, or a QEMU that it
// has taken over, causes more of them than anybody follows.
func (s *supervisor) makeUp() {
	if s.events == nil || s.makingUp || s.events.Dropped() == s.missed {
		return
	}
	s.makingUp = true
	client, events := s.monitor, s.events
	go func() {
		time.Sleep(missedPause)
		missed := events.Dropped() // these were lost before the answer
		ctx, cancel := context.WithTimeout(context.Background(), lookTime)
		defer cancel()
		status, err := queryStatus(ctx, client)
		s.post(context.Background(), func() {
			s.makingUp = false
			if err == nil {
				s.missed = missed
				s.standsOrGoes(phaseOf(status))
			}
		})
	}()
}
