package netplumb

import (
	"errors"
	"fmt"
	"net/netip"
)

// ErrUplinkUnfit says that the uplink is there, but its addresses no longer suit
// the guest's.
var ErrUplinkUnfit = errors.New("the uplink's addresses do not suit the guest")

// UplinkLook is a plan's uplink at a moment, as far as the LAN notices. Two that
// differ, the later with Carrier set, call for an announcement.
type UplinkLook struct {
	// Index is the interface's number, Name its name now.
	Index int
	Name  string
	MAC   MAC
	// Carrier says that it can send. CameUp counts how often it has become so:
	// a flap may be over before anybody looks.
	Carrier bool
	CameUp  uint32
}

// LookAtUplink finds the plan's uplink, by its number or, if that is gone, by
// its name. Errors wrap ErrNoUplink if it is neither.
func (p *Plan) LookAtUplink(h *Host) (UplinkLook, error) {
	l, err := p.uplinkLink(h)
	return UplinkLook{Index: l.index, Name: l.name, MAC: l.mac, Carrier: l.carrier, CameUp: l.cameUp}, err
}

func (p *Plan) uplinkLink(h *Host) (link, error) {
	if p.Config.Uplink == "" {
		return link{}, fmt.Errorf("%w: the plan has none", ErrNoUplink)
	}
	l, err := h.rtnl.linkByIndex(p.UplinkIndex)
	if gone(err) {
		return h.uplink(p.Config.Uplink)
	}
	return l, err
}

// Renew holds the plan against the uplink's addresses of now. It returns the
// plan itself if it still fits, and otherwise one that does: for an uplink that
// was gone and is back with another number, or for a host that has another
// address in the guest's LAN. It changes nothing.
//
// To change over to a new plan, first Leave the old one, then write the new one
// down, then Repair the new one.
//
// Errors wrap ErrNoUplink while the uplink is gone, and ErrUplinkUnfit if the
// guest's address no longer lies in the LAN it was in, or lies in one now.
func (p *Plan) Renew(h *Host) (*Plan, error) {
	if p.Config.Uplink == "" {
		return p, nil
	}
	l, err := p.uplinkLink(h)
	if err != nil {
		return nil, err
	}
	facts, err := h.factsAbout(l, p.Config.Gateway)
	if err != nil {
		return nil, err
	}
	facts.Uplink.Name = p.Config.Uplink // it may have been renamed
	next, err := NewPlan(p.Config, facts)
	if err != nil {
		return nil, err
	}
	switch {
	case lanPrefix(p) != lanPrefix(next):
		return nil, fmt.Errorf("%w: %s", ErrUplinkUnfit, unfit(p, next))
	case next.UplinkIndex == p.UplinkIndex && next.TapAddress == p.TapAddress:
		return p, nil
	}
	return next, nil
}

// lanPrefix is the LAN's, or the zero Prefix in a subnet of its own.
func lanPrefix(p *Plan) netip.Prefix {
	if p.LAN == nil {
		return netip.Prefix{}
	}
	return p.LAN.Prefix
}

func unfit(was, is *Plan) string {
	if was.LAN == nil {
		return fmt.Sprintf("%s now is in %s, in which %s lies", was.Config.Uplink, is.LAN.Prefix, was.Config.Address)
	}
	return fmt.Sprintf("%s no longer has an address in %s", was.Config.Uplink, was.LAN.Prefix)
}

// Leave gives up what the plan holds and next, which Renew has made of it, does
// not. It may be called again, and before or after next is written down by
// nobody: what it gives up is gone already, or of no use any more.
func (p *Plan) Leave(h *Host, next *Plan) error {
	var errs []error
	if next.UplinkIndex != p.UplinkIndex {
		errs = append(errs, undo(h, p.uplinkSteps()))
	}
	if next.TapAddress != p.TapAddress {
		err := tapAddressStep{tap: p.Config.Tap, address: p.TapAddress}.remove(h)
		if err != nil && !gone(err) {
			errs = append(errs, err)
		}
	}
	return errors.Join(errs...)
}
