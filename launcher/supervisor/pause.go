package supervisor

import (
	"context"
	"errors"

	"kvmrun/qmp"
)

// pause has the guest stand still.
func (s *supervisor) pause() {
	s.attempt(eventPaused, &s.state.Paused, standStill)
}

// standStill stops the guest's processors. QEMU's event of it comes before its answer.
func standStill(ctx context.Context, client *qmp.Client) error {
	if err := client.Execute(ctx, "stop", nil, nil); err != nil {
		return err
	}
	status, err := queryStatus(ctx, client)
	if err == nil && status == running {
		err = errors.New("the guest runs again")
	}
	return err
}

// reset resets the machine. QEMU does so a while after it has answered, and then tells
// of it by an event, which bootAgain follows.
func (s *supervisor) reset() {
	done := make(chan struct{})
	s.onReset = append(s.onReset, func() { close(done) })
	s.attempt(eventReset, &s.state.Reset, func(ctx context.Context, client *qmp.Client) error {
		if err := client.Execute(ctx, "system_reset", nil, nil); err != nil {
			return err
		}
		select {
		case <-done:
			return nil
		case <-ctx.Done():
			return errors.New("QEMU does not reset the machine")
		}
	})
}
