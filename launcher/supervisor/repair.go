package supervisor

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"time"

	"kvmrun/netplumb"
)

const (
	// lookInterval is how often the network is looked at although nothing was
	// told: of some changes the kernel tells nobody.
	lookInterval = 10 * time.Second
	// farewell is how long a tap may be gone before that is told: as a rule its
	// QEMU is just ending.
	farewell = 2 * time.Second
)

// keeper keeps a VM's network as it was planned while QEMU runs. It works in a
// goroutine of its own, because the kernel may take its time: QEMU's events do
// not wait for it.
type keeper struct {
	*supervisor // to post to; its other fields are not this goroutine's
	plan        *netplumb.Plan
	uplink      netplumb.UplinkLook // when it was last there
	away        bool                // the uplink is gone
	lost        time.Time           // since when the tap is
	told        map[string]string   // step → what was last told of it
	efforts     efforts
	announce    chan string // interfaces on which to announce the address
}

// keep looks after the VM's network until ctx ends. The returned function returns
// when nothing is being repaired any more.
func (s *supervisor) keep(ctx context.Context) (wait func()) {
	if s.state.Plan == nil {
		return func() {}
	}
	k := &keeper{
		supervisor: s, plan: s.state.Plan,
		told: map[string]string{}, efforts: efforts{}, announce: make(chan string, 1),
	}
	var keeping sync.WaitGroup
	keeping.Go(func() {
		for ctx.Err() == nil {
			k.attend(ctx)
		}
	})
	keeping.Go(func() { k.announceAgain(ctx) })
	return keeping.Wait
}

// attend watches until what is to be watched is another, as an uplink that is
// back. It begins with a look: something may have changed before.
func (k *keeper) attend(ctx context.Context) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	watched := k.uplinkIndex()
	changes, err := k.plan.Watch(ctx, k.host)
	if err != nil {
		k.post(ctx, func() { k.log.Error("changes are noticed late", "err", err) })
	}
	for {
		pause := k.round(ctx)
		if ctx.Err() != nil || k.uplinkIndex() != watched {
			return
		}
		select {
		case _, open := <-changes:
			if !open {
				changes = nil
			}
		case <-time.After(pause):
		case <-ctx.Done():
			return
		}
	}
}

// uplinkIndex is the number of the interface that the uplink is now, 0 for none.
func (k *keeper) uplinkIndex() int {
	at, _ := k.plan.LookAtUplink(k.host)
	return at.Index
}

// round looks at the whole plan once, repairs it if that is wanted, and returns
// when to look again at the latest.
func (k *keeper) round(ctx context.Context) (pause time.Duration) {
	found := k.followUplink(ctx)
	if k.spec.Network.NoRepair {
		found = append(found, k.review()...)
	} else {
		found = append(found, k.repair(ctx)...)
	}
	switch lost := slices.ContainsFunc(found, tapIsLost); {
	case !lost:
		k.lost = time.Time{}
	case k.lost.IsZero():
		k.lost = time.Now()
		return farewell
	case time.Since(k.lost) < farewell:
		return farewell
	}
	k.tell(ctx, found)
	return lookInterval + rand.N(lookInterval/10)
}

func tapIsLost(r netplumb.Repair) bool { return errors.Is(r.Err, netplumb.ErrTapLost) }

// review finds the same as repair, and leaves it.
func (k *keeper) review() (found []netplumb.Repair) {
	for i, f := range k.plan.Review(k.host) {
		switch {
		case f.OK:
		case i == 0:
			return []netplumb.Repair{{Finding: f, Err: netplumb.ErrTapLost}}
		default:
			found = append(found, netplumb.Repair{Finding: f, Err: netplumb.ErrLeft})
		}
	}
	return found
}

func (k *keeper) repair(ctx context.Context) []netplumb.Repair {
	may := func(step string) bool { return k.efforts.may(step, time.Now()) }
	repairs, err := k.plan.Repair(ctx, k.host, may)
	if err != nil {
		return []netplumb.Repair{{Finding: netplumb.Finding{Step: "network"}, Err: err}}
	}
	if len(repairs) > 0 {
		k.post(ctx, k.keepRecords) // of values that are now to return
	}
	return repairs
}

// tell writes events: one for each repair, and one where a thing cannot be
// repaired, or somebody keeps changing it, however often that is seen.
func (k *keeper) tell(ctx context.Context, found []netplumb.Repair) {
	seen := map[string]bool{}
	for _, r := range found {
		seen[r.Step] = true
		switch {
		case r.Err == nil:
			if !k.efforts.contested(r.Step) {
				delete(k.told, r.Step)
				k.report(ctx, "repaired", map[string]any{"step": r.Step, "was": r.Have})
			}
		case k.spec.Network.NoRepair:
			k.tellOnce(ctx, r.Step, r.Have, "disturbed", map[string]any{"step": r.Step, "want": r.Want, "have": r.Have})
		case errors.Is(r.Err, netplumb.ErrLeft):
			k.tellOnce(ctx, r.Step, "contested", "not-repaired", map[string]any{"step": r.Step, "have": r.Have,
				"why": "something keeps changing it; it is repaired less often now"})
		default:
			k.tellOnce(ctx, r.Step, r.Have+r.Err.Error(), "not-repaired", map[string]any{"step": r.Step, "have": r.Have, "why": oneLine(r.Err)})
		}
	}
	for _, step := range k.efforts.settled(time.Now()) {
		k.report(ctx, "repaired", map[string]any{"step": step, "was": "contested"})
	}
	for step := range k.told {
		if !seen[step] && !k.efforts.contested(step) {
			delete(k.told, step)
		}
	}
}

// tellOnce writes an event about a step unless this was the last one, too.
func (k *keeper) tellOnce(ctx context.Context, step, text, event string, data any) {
	if k.told[step] != text {
		k.told[step] = text
		k.report(ctx, event, data)
	}
}

func (k *keeper) report(ctx context.Context, event string, data any) {
	k.post(ctx, func() { k.event(event, data) })
}

// followUplink tells when the uplink goes and comes, and moves to the one that
// has come, if that is wanted. It returns what keeps it from that.
func (k *keeper) followUplink(ctx context.Context) []netplumb.Repair {
	name := k.plan.Config.Uplink
	if name == "" {
		return nil
	}
	next, err := k.plan.Renew(k.host)
	if errors.Is(err, netplumb.ErrNoUplink) {
		if !k.away {
			k.report(ctx, "uplink-gone", map[string]any{"uplink": name})
		}
		k.away = true
		return nil
	}
	have := "present"
	switch {
	case err != nil || next == k.plan:
	case k.spec.Network.NoRepair:
		have = k.stay(next)
	default:
		err = k.move(ctx, next)
	}
	found := []netplumb.Repair{{Finding: netplumb.Finding{Step: "uplink " + name, Want: builtOn(k.plan), Have: have}, Err: err}}
	if err != nil {
		return found
	}
	k.lookAtUplink()
	if k.away {
		k.away = false
		k.report(ctx, "uplink-back", map[string]any{"uplink": k.uplink.Name, "mac": k.uplink.MAC})
		k.post(ctx, k.defendAgain)
	}
	if next != k.plan {
		found[0].Err = netplumb.ErrLeft
		return found
	}
	return nil
}

// stay says what the uplink has that the plan does not build on, and nobody is to
// change over to.
func (k *keeper) stay(next *netplumb.Plan) string {
	if k.uplink.Index != 0 && k.uplink.Index != next.UplinkIndex {
		k.away = true // for too short a time, perhaps, to be seen
	}
	return builtOn(next)
}

// builtOn is what a plan takes from the uplink, for people.
func builtOn(p *netplumb.Plan) string {
	return fmt.Sprintf("interface %d, gateway %s", p.UplinkIndex, p.TapAddress)
}

// move changes over to another plan, which is written down before it is applied.
func (k *keeper) move(ctx context.Context, next *netplumb.Plan) error {
	if err := k.ask(ctx, func() error { return k.changePlan(next) }); err != nil {
		return err
	}
	if next.UplinkIndex == k.plan.UplinkIndex {
		k.report(ctx, "uplink-changed", map[string]any{"uplink": next.Config.Uplink, "address": next.TapAddress})
	} else {
		k.away = true // for too short a time, perhaps, to be seen
	}
	k.plan = next
	return nil
}

// changePlan gives up what the next plan does not hold, and writes that one down.
// In between nobody must put back what the journal has just lost, so it is done by
// the goroutine that does.
func (s *supervisor) changePlan(next *netplumb.Plan) error {
	was := s.state.Plan
	if err := was.Leave(s.host, next); err != nil {
		return err
	}
	if next.UplinkIndex != was.UplinkIndex {
		s.records = netplumb.Records{} // of an uplink that is gone
	}
	s.state.Plan = next
	err := s.save()
	if err != nil {
		s.state.Plan = was
	}
	return err
}

// lookAtUplink has the address announced when the LAN's machines may have lost
// it, or know it at another MAC: the cable was out, the uplink has another MAC
// or is another.
func (k *keeper) lookAtUplink() {
	now, err := k.plan.LookAtUplink(k.host)
	if err != nil {
		return
	}
	first := k.uplink.Index == 0
	if !first && now.Carrier && now != k.uplink && k.spec.Network.ProxyARP != netplumb.ProxyOff {
		select {
		case k.announce <- now.Name:
		default: // it will be, soon enough
		}
	}
	k.uplink = now
}

// announceAgain announces the address as often as the keeper wants it, but no
// more than one after another: an uplink that flaps all the time is not to
// flood its LAN.
func (k *keeper) announceAgain(ctx context.Context) {
	for {
		select {
		case uplink := <-k.announce:
			k.announceOn(ctx, uplink, func() {
				k.report(ctx, "announced", map[string]any{"ip": k.spec.Network.IP, "uplink": uplink})
			})
		case <-ctx.Done():
			return
		}
	}
}
