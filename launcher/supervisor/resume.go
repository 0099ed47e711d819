package supervisor

import (
	"context"
	"errors"
	"fmt"

	"kvmrun/qmp"
)

// resume lets the guest go on.
func (s *supervisor) resume() {
	s.attempt(eventResumed, &s.state.Resumed, s.letGoOn)
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
