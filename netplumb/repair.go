package netplumb

import (
	"context"
	"errors"
	"fmt"
)

// Repair is one step of a plan that was found not to be as it should be, and
// what became of it.
type Repair struct {
	// Finding is how it was found. Its Remedy is for people.
	Finding
	// Err says why it is not mended; nil if it is.
	Err error
}

var (
	// ErrTapLost says that the tap is gone, or not kvmrun's any more. Who uses
	// it holds a descriptor of the one that is gone: it cannot be put back.
	ErrTapLost = errors.New("the guest's tap is gone")
	// ErrLeft says that a step was not to be repaired.
	ErrLeft = errors.New("left as it is")
)

// Repair looks at each step of an applied plan and applies again what is not as
// it should be. It returns those alone, in the plan's order. may is asked before
// a step is applied; nil allows all. A context that ends keeps the rest from
// being looked at.
//
// It takes what others did for what they want where it belongs to others: a
// route to the guest's address by another interface is not replaced
// (ErrAddressRouted), somebody's proxy entry or alias serves as well as
// kvmrun's. A setting of the uplink that somebody else changed is changed
// again, and theirs is the value that returns in the end. What stands on the
// tap is kvmrun's.
//
// Without the tap nothing is repaired. While the uplink is gone its steps are
// left out; see Renew.
//
// Repair may run at the same time as other guests' plans are applied, repaired
// or undone, but not while this one is.
func (p *Plan) Repair(ctx context.Context, h *Host, may func(step string) bool) ([]Repair, error) {
	if err := p.Check(); err != nil { // a stored plan may be anything
		return nil, err
	}
	tap, err := h.rtnl.linkByName(p.Config.Tap)
	if err != nil && !gone(err) {
		return nil, fmt.Errorf("look up %s: %w", p.Config.Tap, err)
	}
	steps := p.tapSteps()
	if err != nil || !tap.ours(p.Config) {
		return []Repair{{review(h, steps[0]), ErrTapLost}}, nil
	}
	if p.Config.Uplink != "" {
		_, err := h.rtnl.interfaceName(p.UplinkIndex)
		if err != nil && !gone(err) {
			return nil, err
		}
		if err == nil {
			steps = append(steps, p.uplinkSteps()...)
		}
	}
	var repairs []Repair
	for _, s := range steps {
		if ctx.Err() != nil {
			break
		}
		found := review(h, s)
		if found.OK {
			found, err = holdAgain(h, s, tap.index, found)
		} else {
			err = repair(h, s, tap.index, may)
		}
		if !found.OK {
			repairs = append(repairs, Repair{found, err})
		}
	}
	return repairs, nil
}

// holdAgain makes sure that what is as it should be is held, too, where guests
// share it: another may have changed it since, after this one found it as
// wanted, and would put it back in the end.
func holdAgain(h *Host, s step, tap int, found Finding) (Finding, error) {
	if _, shared := s.(sharedStep); !shared {
		return found, nil
	}
	err := s.apply(h, tap)
	found.OK = err == nil
	return found, err
}

// repair applies a step again and makes sure that it was of use.
func repair(h *Host, s step, tap int, may func(step string) bool) error {
	if may != nil && !may(s.String()) {
		return ErrLeft
	}
	if err := s.apply(h, tap); err != nil {
		return permission(err)
	}
	if after := review(h, s); !after.OK {
		return fmt.Errorf("it was set, and is %s", after.Have)
	}
	return nil
}
