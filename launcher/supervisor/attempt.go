package supervisor

import (
	"context"
	"errors"
	"time"

	"kvmrun/launcher"
	"kvmrun/qmp"
)

// The events that others have the supervisor do something with its guest.
const (
	eventResumed = "resumed"
	eventPaused  = "paused"
	eventReset   = "reset"

	eventLinkUp   = "link-up"
	eventLinkDown = "link-down"
)

// attemptTime is how long QEMU may take for what was asked, to make requests to disks
// that failed again among it.
const attemptTime = 20 * time.Second

// attempt does something that was asked for, on this supervisor's own monitor, and
// writes down what came of it for whoever asked.
func (s *supervisor) attempt(event string, answer *launcher.Attempt, do func(context.Context, *qmp.Client) error) {
	client := s.monitor
	if client == nil {
		s.attempted(event, answer, errSilent)
		return
	}
	go func() {
		ctx, cancel := context.WithTimeout(context.Background(), attemptTime)
		defer cancel()
		err := do(ctx, client)
		s.post(context.Background(), func() {
			s.catchUp()
			s.attempted(event, answer, err)
		})
	}()
}

// catchUp takes the events that have come so far, and no more than may wait:
// others may come as fast as they are taken.
func (s *supervisor) catchUp() {
	for range maxUnread {
		select {
		case e, ok := <-s.incoming():
			if !ok {
				return // watch sees it, too
			}
			s.note(e)
		default:
			return
		}
	}
}

// attempted writes down what came of an attempt.
func (s *supervisor) attempted(event string, answer *launcher.Attempt, err error) {
	now := launcher.Attempt{Number: answer.Number + 1}
	switch {
	case err == nil:
		s.event(event, nil)
	case errors.Is(err, errStalled) && s.state.Reason != "":
		now.Error = &launcher.Error{Kind: launcher.KindStorage, Err: errors.New(s.state.Reason)}
	default:
		now.Error = &launcher.Error{Kind: launcher.KindQEMU, Err: err}
	}
	*answer = now
	s.settle(s.save())
}
