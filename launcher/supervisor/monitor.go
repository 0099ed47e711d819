package supervisor

import (
	"context"
	"fmt"
	"net"
	"time"

	"kvmrun/launcher"
	"kvmrun/launcher/vmdir"
	"kvmrun/qmp"
)

// connection is one to QEMU's monitor, and what QEMU does at its beginning.
type connection struct {
	client *qmp.Client
	events *qmp.Subscription
	phase  launcher.Phase
	agent  bool // the guest's agent has its port open
}

// maxUnread is how many events may wait while the supervisor does something
// else.
const maxUnread = 64

// greet opens the supervisor's own monitor.
func greet(ctx context.Context, dir vmdir.Dir) (connection, error) {
	conn, err := dir.Dial(ctx, vmdir.OwnSocket)
	if err != nil {
		return connection{}, err
	}
	client, err := qmp.New(ctx, conn.(*net.UnixConn))
	if err != nil {
		return connection{}, err
	}
	// First the events, then the state: what changes in between is told.
	events := client.Subscribe(maxUnread)
	status, err := queryStatus(ctx, client)
	open := false
	if err == nil {
		open, err = queryAgentPort(ctx, client)
	}
	if err != nil {
		_ = client.Close()
		return connection{}, err
	}
	return connection{client, events, phaseOf(status), open}, nil
}

// Values of QEMU's RunState (QEMU's qapi/run-state.json).
const (
	running = "running"
	ioError = "io-error" // stopped because a request to a disk has failed
)

// queryStatus asks for QEMU's RunState.
func queryStatus(ctx context.Context, client *qmp.Client) (string, error) {
	var now struct{ Status string }
	err := client.Execute(ctx, "query-status", nil, &now)
	return now.Status, err
}

// phaseOf reads a RunState. In all but one the guest stands still.
func phaseOf(status string) launcher.Phase {
	if status == running {
		return launcher.Running
	}
	return launcher.Paused
}

// use takes a connection.
func (s *supervisor) use(c connection) {
	s.monitor, s.events = c.client, c.events
	v := c.client.Version()
	s.state.QEMUVersion = v.String()
}

// arrive takes a connection to a QEMU that was taken over, and QEMU's word for
// what its guest does.
func (s *supervisor) arrive(c connection) {
	s.use(c)
	s.agentHas(c.agent, time.Now())
	s.standsOrGoes(c.phase)
}

// standsOrGoes takes QEMU's word for what its guest does.
func (s *supervisor) standsOrGoes(phase launcher.Phase) {
	if phase == launcher.Paused {
		s.paused()
		return
	}
	s.goesOn()
}

// reconnect greets a QEMU that another supervisor has left, and goes on trying:
// one that hangs may come to itself. The connection arrives by s.arrives.
func (s *supervisor) reconnect(ctx context.Context) {
	const pause = time.Second
	for {
		attempt, cancel := context.WithTimeout(ctx, patience)
		c, err := greet(attempt, s.dir)
		cancel()
		if err == nil {
			s.arrives <- c
			return
		}
		select {
		case <-time.After(pause):
		case <-ctx.Done():
			return
		}
	}
}

// incoming is where QEMU's events come from, nil while there are none.
func (s *supervisor) incoming() <-chan qmp.Event {
	if s.events == nil {
		return nil
	}
	return s.events.C
}

// pressTime is how long QEMU may take to press the guest's power button.
const pressTime = 2 * time.Second

// press presses the guest's power button. What comes of it only the guest
// knows.
func (s *supervisor) press() {
	if s.monitor == nil {
		s.log.Error("the power button is out of reach: QEMU does not answer")
		return
	}
	client := s.monitor
	s.event("power-button", nil)
	go func() {
		ctx, cancel := context.WithTimeout(context.Background(), pressTime)
		defer cancel()
		if err := client.Execute(ctx, "system_powerdown", nil, nil); err != nil {
			s.post(ctx, func() { s.log.Error("power button", "err", fmt.Sprint(err)) })
		}
	}()
}
