package netplumb

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"slices"
)

// planVersion changes whenever an older kvmrun could misread a stored plan.
const planVersion = 1

// Plan is everything that will be done for one guest address. It depends on
// nothing but its own fields, so it may be stored as JSON and undone or
// reviewed by another process.
type Plan struct {
	// Version is that of the stored form.
	Version int `json:"version"`
	// Config is what was asked for.
	Config Config `json:"config"`
	// LAN is the uplink's network that the address lies in; nil if the guest
	// lives in a subnet of its own.
	LAN *LAN `json:"lan,omitempty"`
	// UplinkIndex is the uplink's interface number, by which it is known
	// whatever its name is later; 0 if there is none.
	UplinkIndex int `json:"uplink_index,omitempty"`
	// TapAddress stands on the tap as a /32. It is the gateway's, or in the
	// LAN situation the host's own: a router of the LAN keeps its address.
	TapAddress netip.Addr `json:"tap_address"`
	// Alias puts the gateway's address on the uplink; nil if it is not wanted
	// or the host has that address already.
	Alias *Alias `json:"alias,omitempty"`
}

// Alias is a second address of the uplink, a /32.
type Alias struct {
	Address netip.Addr `json:"address"`
	// Label is like eth0:0, or the interface's name where that is too long.
	Label string `json:"label"`
	// LinkScope keeps an uplink without an address of its own from using the
	// gateway's for what the host itself sends.
	LinkScope bool `json:"link_scope,omitempty"`
}

// NewPlan decides what to do. It does nothing yet and asks nobody. Errors wrap
// ErrAddressInvalid, ErrAddressOnHost, ErrNoUplink or ErrConfig.
func NewPlan(cfg Config, facts Facts) (*Plan, error) {
	if err := cfg.validate(); err != nil {
		return nil, err
	}
	if cfg.Uplink != facts.Uplink.Name {
		return nil, fmt.Errorf("%w: plan for uplink %q made from facts about %q", ErrNoUplink, cfg.Uplink, facts.Uplink.Name)
	}
	for _, a := range facts.Uplink.Addresses {
		if a.Prefix.Addr() == cfg.Address {
			return nil, fmt.Errorf("%w: %s has %s; choose another", ErrAddressOnHost, cfg.Uplink, cfg.Address)
		}
	}
	p := &Plan{Version: planVersion, Config: cfg, UplinkIndex: facts.Uplink.Index, TapAddress: cfg.Gateway}
	if lan, ok := facts.LAN(cfg.Address); ok {
		p.LAN = &lan
		p.TapAddress = lan.Host
		return p, nil
	}
	p.Alias = planAlias(cfg, facts)
	return p, nil
}

// planAlias wants the gateway on the uplink unless the host has it from
// somebody else.
func planAlias(cfg Config, facts Facts) *Alias {
	if cfg.Uplink == "" || facts.Gateway.Interface != "" && !facts.Gateway.Ours {
		return nil
	}
	alias := &Alias{Address: cfg.Gateway, Label: facts.Gateway.Label, LinkScope: true}
	taken := make(map[string]bool)
	for _, a := range facts.Uplink.Addresses {
		taken[a.Label] = true
		if a.Scope == 0 && a.Prefix.Addr() != cfg.Gateway {
			alias.LinkScope = false
		}
	}
	if alias.Label == "" {
		alias.Label = freeLabel(cfg.Uplink, taken)
	}
	return alias
}

// freeLabel returns uplink:N with the lowest N that is not taken, or the plain
// name if that would be longer than a label can be. Two plans made at the same
// moment may choose the same: the kernel does not mind.
func freeLabel(uplink string, taken map[string]bool) string {
	for n := 0; ; n++ {
		label := fmt.Sprintf("%s:%d", uplink, n)
		switch {
		case len(label) > maxName:
			return uplink
		case !taken[label]:
			return label
		}
	}
}

// Apply makes the plan real. It returns one descriptor for each queue of the
// tap, close-on-exec and blocking. They belong to the caller; the tap lives
// until the last copy is closed, wherever that is.
//
// If a step fails, or ctx is done before a step, what was done is undone, and
// the error says which step it was. Errors wrap ErrNoTun, ErrTapExists,
// ErrPermission, ErrNoUplink or ErrAddressRouted where they apply, and always
// the kernel's error number.
func (p *Plan) Apply(ctx context.Context, h *Host) ([]*os.File, error) {
	steps, err := p.steps()
	if err != nil {
		return nil, err
	}
	tap := new(openTap)
	for i, s := range steps {
		err := ctx.Err()
		switch {
		case err != nil:
		case i == 0:
			err = tap.open(p.Config)
		default:
			err = s.apply(h, tap.index)
		}
		if err != nil {
			err = fmt.Errorf("%s: %w", s, permission(err))
			return nil, errors.Join(err, revert(h, tap, steps[:i+1]))
		}
	}
	return tap.queues, nil
}

// revert takes back the steps up to the one that failed, which may have got half
// way. The tap goes by its descriptors alone, not by its name: where making it
// failed, the name is another's.
func revert(h *Host, tap *openTap, steps []step) error {
	err := undo(h, steps[1:])
	tap.close()
	return err
}

// Undo takes back what Apply did, in reverse order, and may be called any
// number of times, after a whole Apply or part of one. It goes on when a step
// fails and joins the errors. What is already gone, or not kvmrun's, is left
// as it is. If the tap is still there and is this plan's by name, alias and
// link group, it is deleted, whoever still holds a descriptor of it. If the uplink
// was made anew, what Review's remedies have put there for the guest goes, too.
//
// A done context does not stop it: half an undoing helps nobody.
func (p *Plan) Undo(_ context.Context, h *Host) error {
	steps, err := p.steps()
	if err != nil {
		return err
	}
	return undo(h, append(steps, p.stepsOnNewUplink(h)...))
}

// stepsOnNewUplink are none while the uplink is the interface that it was.
func (p *Plan) stepsOnNewUplink(h *Host) []step {
	if p.Config.Uplink == "" {
		return nil
	}
	if _, err := h.rtnl.interfaceName(p.UplinkIndex); !gone(err) {
		return nil
	}
	next, err := p.Renew(h)
	if err != nil || next.UplinkIndex == p.UplinkIndex {
		return nil
	}
	return next.uplinkSteps()
}

func undo(h *Host, steps []step) error {
	var errs []error
	for _, s := range slices.Backward(steps) {
		if err := s.undo(h); err != nil && !gone(err) {
			errs = append(errs, fmt.Errorf("undo %s: %w", s, permission(err)))
		}
	}
	return errors.Join(errs...)
}

// steps lists the plan's steps in the order in which they are applied.
func (p *Plan) steps() ([]step, error) {
	if p.Version != planVersion {
		return nil, fmt.Errorf("%w: stored plan has version %d, this kvmrun reads %d", ErrConfig, p.Version, planVersion)
	}
	if err := p.Config.validate(); err != nil {
		return nil, fmt.Errorf("stored plan: %w", err)
	}
	if err := p.checkParts(); err != nil {
		return nil, fmt.Errorf("stored plan: %w", err)
	}
	return append(p.tapSteps(), p.uplinkSteps()...), nil
}

// tapSteps begin with the tap itself.
func (p *Plan) tapSteps() []step {
	return []step{
		tapStep{p.Config},
		tapLinkStep{Config: p.Config},
		tapAddressStep{tap: p.Config.Tap, address: p.TapAddress},
		routeStep{tap: p.Config.Tap, address: p.Config.Address, source: p.TapAddress},
		neighbourStep{tap: p.Config.Tap, address: p.Config.Address, mac: p.Config.MAC},
	}
}

// Check says whether a stored plan can be reviewed and undone: it is of a version
// that this kvmrun reads, and says nothing that NewPlan would not. Errors wrap
// ErrAddressInvalid or ErrConfig.
func (p *Plan) Check() error {
	_, err := p.steps()
	return err
}

// checkParts checks what NewPlan adds to a Config. A stored plan is not to be
// trusted further than its maker: an address with a zone such as fe80::1%/../x
// would be a path in the journal and a command in a script.
func (p *Plan) checkParts() error {
	onTap := p.Config.Gateway
	if p.LAN != nil {
		onTap = p.LAN.Host
	}
	switch {
	case p.Config.Uplink != "" && p.UplinkIndex <= 0:
		return fmt.Errorf("%w: it does not say which interface %s was", ErrConfig, p.Config.Uplink)
	case p.TapAddress != onTap:
		return fmt.Errorf("%w: it puts %s on the tap, not %s", ErrConfig, p.TapAddress, onTap)
	case !p.TapAddress.Is4() || !unicast(p.TapAddress):
		return fmt.Errorf("%w: it puts %s on the tap, which is no IPv4 address of a host", ErrConfig, p.TapAddress)
	case p.Alias == nil:
		return nil
	case p.Alias.Address != p.Config.Gateway:
		return fmt.Errorf("%w: its alias is %s, not the gateway's %s", ErrConfig, p.Alias.Address, p.Config.Gateway)
	}
	return checkLabel(p.Alias.Label)
}

// uplinkSteps are none without an uplink.
func (p *Plan) uplinkSteps() []step {
	if p.Config.Uplink == "" {
		return nil
	}
	uplink, holder := p.Config.Uplink, p.Config.Address
	shared := func(r resource) step { return sharedStep{resource: r, holder: holder} }
	setting := func(name, value string) step {
		return shared(uplinkSysctl{sysctl: sysctl{name, uplink, value}, index: p.UplinkIndex})
	}

	steps := []step{setting(forwarding, "1")}
	if p.Config.ProxyARP != ProxyOff {
		steps = append(steps, setting(proxyDelay, "0"))
	}
	switch p.Config.ProxyARP {
	case ProxyExact:
		steps = append(steps, proxyStep{uplink: uplink, index: p.UplinkIndex, address: p.Config.Address})
	case ProxyInterface:
		steps = append(steps, setting(proxyARP, "1"))
	}
	if p.Alias != nil {
		steps = append(steps, shared(aliasResource{uplink: uplink, index: p.UplinkIndex, alias: *p.Alias}))
	}
	return steps
}
