package supervisor

import (
	"context"
	"errors"
	"net"
	"time"

	"kvmrun/launcher"
	"kvmrun/netplumb"
	"kvmrun/netplumb/arp"
)

// guard defends the VM's address on the LAN.
type guard struct {
	dispute dispute
	stop    context.CancelFunc // ends the defence that runs; nil if none was begun
	begin   func()             // begins anew; nil until the VM's address is served
}

// newGuard is a guard that stands by.
func newGuard() guard { return guard{dispute: dispute{quiet: disputeQuiet, pause: disputePause}} }

// defend begins to defend the VM's address on the uplink, or begins anew: the
// defence ends with the context, and when the uplink is gone. Only an address
// of the LAN needs it, which others there could take.
func (s *supervisor) defend(ctx context.Context) {
	s.guard.begin = func() { s.defend(ctx) }
	if s.guard.stop != nil {
		s.guard.stop()
	}
	plan := s.state.Plan
	if plan.LAN == nil || plan.Config.ProxyARP == netplumb.ProxyOff {
		return
	}
	defence, stop := context.WithCancel(ctx)
	s.guard.stop = stop
	go func() {
		defer stop()
		uplink, err := plan.LookAtUplink(s.host) // which may have been renamed
		if err == nil {
			err = arp.Defend(defence, uplink.Name, plan.Config.Address, func(rival net.HardwareAddr) {
				mac := rival.String()
				s.post(defence, func() { s.claimed(ctx, mac) })
			})
		}
		if defence.Err() == nil && !errors.Is(err, arp.ErrNoARP) {
			s.post(ctx, func() { s.log.Warn("nobody defends the address", "err", err) })
		}
	}()
}

// defendAgain begins anew when the uplink is back, under whatever number.
func (s *supervisor) defendAgain() {
	if s.guard.begin != nil {
		s.guard.begin()
	}
}

// resumeDispute takes up the conflict that the last supervisor has left.
func (s *supervisor) resumeDispute(ctx context.Context) {
	if c := s.state.Conflict; c != nil {
		s.guard.dispute.resume(c.MAC, time.Now())
		s.awaitQuiet(ctx, s.guard.dispute.quiet)
	}
}

// claimed notes that a machine of the LAN claims the VM's address.
func (s *supervisor) claimed(ctx context.Context, mac string) {
	now := time.Now()
	if !s.guard.dispute.claim(mac, now) {
		return
	}
	since := now.UTC()
	if s.state.Conflict == nil {
		s.awaitQuiet(ctx, s.guard.dispute.quiet)
	} else {
		since = s.state.Conflict.Since // whoever began it
	}
	s.state.Conflict = &launcher.Conflict{MAC: mac, Since: since}
	s.settle(s.save())
	s.event("conflict", map[string]any{"ip": s.spec.Network.IP, "mac": mac})
}

// awaitQuiet looks after a while whether the dispute is over, and looks again
// until it is.
func (s *supervisor) awaitQuiet(ctx context.Context, wait time.Duration) {
	time.AfterFunc(wait, func() {
		s.post(ctx, func() {
			if left := s.guard.dispute.left(time.Now()); left > 0 {
				s.awaitQuiet(ctx, left)
				return
			}
			mac := s.state.Conflict.MAC
			s.state.Conflict = nil
			s.settle(s.save())
			s.event("conflict-over", map[string]any{"ip": s.spec.Network.IP, "mac": mac})
		})
	})
}
