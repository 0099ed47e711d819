package supervisor

import (
	"context"
	"errors"
	"fmt"
	"time"

	"kvmrun/launcher"
	"kvmrun/qmp"
)

// resumeTime is how long QEMU may take to let the guest go on, with the requests
// that failed made again.
const resumeTime = 20 * time.Second

// resume lets the guest go on, on this supervisor's own monitor, and writes down
// what came of it for whoever asked.
func (s *supervisor) resume() {
	client := s.monitor
	if client == nil {
		s.resumed(errSilent)
		return
	}
	go func() {
		ctx, cancel := context.WithTimeout(context.Background(), resumeTime)
		defer cancel()
		err := s.letGoOn(ctx, client)
		s.post(context.Background(), func() {
			s.catchUp()
			s.resumed(err)
		})
	}()
}

// errStalled says that the guest stands still again at once.
var errStalled = errors.New("the guest stands still again")

// letGoOn continues the guest and makes sure that it runs: the requests that had
// failed are made again first, and the answer is there when QEMU has drained
// its disks.
func (s *supervisor) letGoOn(ctx context.Context, client *qmp.Client) error {
	if err := client.Execute(ctx, "cont", nil, nil); err != nil {
		return err
	}
	// A transaction begins with that (QEMU: qmp_transaction); one of no actions
	// does nothing else.
	nothing := map[string]any{"actions": []any{}}
	if err := client.Execute(ctx, "transaction", nothing, nil); err != nil && ctx.Err() != nil {
		return err
	}
	// Where a request has failed by then, QEMU stops the guest in the next round
	// of its main loop. Two answers are from two rounds.
	for range 2 {
		status, err := queryStatus(ctx, client)
		switch {
		case err != nil:
			return err
		case status == ioError:
			return errStalled // QEMU's event of it has come, too
		case status != running:
			return fmt.Errorf("the guest stands still: QEMU calls it %q", status)
		}
	}
	return nil
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

// resumed writes down what came of an attempt.
func (s *supervisor) resumed(err error) {
	attempt := launcher.Attempt{Number: s.state.Resumed.Number + 1}
	switch {
	case errors.Is(err, errStalled) && s.state.Reason != "":
		attempt.Error = &launcher.Error{Kind: launcher.KindStorage, Err: errors.New(s.state.Reason)}
	case err != nil:
		attempt.Error = &launcher.Error{Kind: launcher.KindQEMU, Err: err}
	}
	s.state.Resumed = attempt
	s.settle(s.save())
}
