package supervisor

import (
	"context"
	"net/netip"
	"time"

	"kvmrun/launcher"
	"kvmrun/netplumb"
	"kvmrun/netplumb/arp"
	"kvmrun/netplumb/dhcp"
	"kvmrun/netplumb/dns"
)

// servers are those of the guest's that the supervisor runs; nil for what is off.
type servers struct {
	dhcp *dhcp.Server
	dns  *dns.Server
}

// serve looks after the guest's address until QEMU is gone: DHCP, names, the
// announcement on the LAN and its defence there, and the first answer from the
// guest.
func (s *supervisor) serve(run servers) {
	ctx, cancel := context.WithCancel(context.Background())
	s.unserve = cancel
	go func() {
		<-s.qemu.done
		cancel()
	}()
	acknowledged := make(chan struct{}, 1)
	s.serveDNS(ctx, run.dns)
	if server := run.dhcp; server != nil {
		server.OnEvent = func(e dhcp.Event) {
			s.post(ctx, func() { s.caused("dhcp-"+string(e.Kind), nil) })
			if e.Kind == dhcp.Acknowledged {
				select {
				case acknowledged <- struct{}{}:
				default:
				}
			}
		}
		go func() {
			if err := server.Serve(ctx); err != nil && ctx.Err() == nil {
				s.post(ctx, func() { s.log.Error("DHCP ended", "err", err) })
			}
		}()
	}
	// Closing a packet socket waits for the kernel's readers, some milliseconds.
	go s.announce(ctx, s.state.Plan)
	s.resumeDispute(ctx)
	s.defend(ctx)
	s.seek = func() { go s.awaitGuest(ctx, s.state.Boot.Resets, s.state.Plan.TapAddress, acknowledged) }
	if s.state.Reachable.IsZero() {
		s.seek()
	}
}

// announcements is how often RFC 5227, section 2.3, wants an address announced.
const announcements = 2

// announce corrects the caches of the LAN's machines, now that the guest's
// route stands. An announcement that fails costs them a look-up. The uplink may
// have been renamed; while it is gone nobody is told.
func (s *supervisor) announce(ctx context.Context, plan *netplumb.Plan) {
	if plan.Config.Uplink == "" || plan.Config.ProxyARP == netplumb.ProxyOff {
		return
	}
	if uplink, err := plan.LookAtUplink(s.host); err == nil {
		s.announceOn(ctx, uplink.Name, func() {})
	}
}

// announceOn announces the address on an interface as often as it should be, and
// calls done after the first time.
func (s *supervisor) announceOn(ctx context.Context, uplink string, done func()) {
	for i := range announcements {
		err := arp.Announce(ctx, uplink, s.spec.Network.IP)
		switch {
		case err != nil && ctx.Err() == nil:
			s.post(ctx, func() { s.log.Warn("address is not announced", "uplink", uplink, "err", err) })
		case err == nil && i == 0:
			done()
		}
		select {
		case <-time.After(arp.AnnounceInterval):
		case <-ctx.Done():
			return
		}
	}
}

// awaitGuest notes when the guest first answers at its address. It asks often
// for a while, and often again when the guest has just been told its address. An
// answer may be from before the guest was reset: then it asks again.
func (s *supervisor) awaitGuest(ctx context.Context, boot int, from netip.Addr, acknowledged <-chan struct{}) {
	n := s.spec.Network
	for {
		round, cancel := context.WithCancel(ctx)
		go func() {
			select {
			case <-acknowledged:
				cancel()
			case <-round.Done():
			}
		}()
		err := arp.Await(round, n.Tap, n.MAC.HardwareAddr(), n.IP, from)
		again := round.Err() != nil && ctx.Err() == nil
		cancel()
		if err == nil {
			break
		}
		if !again {
			if ctx.Err() == nil {
				s.post(ctx, func() { s.log.Error("cannot watch for the guest", "err", err) })
			}
			return
		}
	}
	now := time.Now().UTC()
	s.post(ctx, func() {
		if boot != s.state.Boot.Resets {
			s.seek()
			return
		}
		s.state.Reachable = now
		s.settle(s.save())
		s.caused(launcher.EventReachable, map[string]any{"ip": n.IP})
	})
}
