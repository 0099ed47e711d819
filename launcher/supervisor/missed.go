package supervisor

import (
	"context"
	"time"
)

// missedPause is how seldom QEMU is asked what it said while it says too much.
const missedPause = time.Second

// makeUp asks QEMU how its guest is if events of QEMU's were lost: a STOP or a
// RESUME may have been among them. That happens where a guest, or a QEMU that it
// has taken over, causes more of them than anybody follows. An answer that an event
// has overtaken may be out of date: then QEMU is asked again.
func (s *supervisor) makeUp() {
	if s.events == nil || s.makingUp || s.events.Dropped() == s.missed {
		return
	}
	s.makingUp = true
	client, events, turns := s.monitor, s.events, s.turns
	go func() {
		time.Sleep(missedPause)
		missed := events.Dropped() // these were lost before the answer
		ctx, cancel := context.WithTimeout(context.Background(), lookTime)
		defer cancel()
		status, err := queryStatus(ctx, client)
		open := false
		if err == nil {
			open, err = queryAgentPort(ctx, client)
		}
		s.post(context.Background(), func() {
			s.makingUp = false
			s.catchUp()
			if err == nil && s.turns == turns {
				s.missed = missed
				s.agentHas(open, time.Now())
				s.standsOrGoes(phaseOf(status))
			}
			s.makeUp()
		})
	}()
}
