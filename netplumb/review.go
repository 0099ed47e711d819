package netplumb

import (
	"errors"
	"strings"
)

// Finding is the result of checking one step of a plan.
type Finding struct {
	// Part is what was checked, for a program.
	Part Part `json:"-"`
	// Step says what was checked, on what.
	Step string `json:"step"`
	// Want and Have describe how it should be and how it is.
	Want string `json:"want"`
	Have string `json:"have"`
	OK   bool   `json:"ok"`
	// Remedy is the command that mends it; "" if all is well or no command can.
	Remedy string `json:"remedy,omitempty"`
}

// Part names a part of a plan.
type Part string

// The parts of a plan, in the order in which they are applied.
const (
	PartTap        Part = "tap"         // that there is one, and whose it is
	PartSettings   Part = "settings"    // of the tap
	PartAddress    Part = "address"     // on the tap
	PartRoute      Part = "route"       // to the guest
	PartNeighbour  Part = "neighbour"   // on the tap
	PartProxyEntry Part = "proxy"       // on the uplink
	PartAlias      Part = "alias"       // on the uplink
	PartForwarding Part = "forwarding"  // of the uplink
	PartProxyDelay Part = "proxy_delay" // of the uplink
	PartProxyARP   Part = "proxy_arp"   // of the uplink
)

// partOf tells which part of the plan a step is.
func partOf(s step) Part {
	switch s := s.(type) {
	case tapStep:
		return PartTap
	case tapLinkStep:
		return PartSettings
	case tapAddressStep:
		return PartAddress
	case routeStep:
		return PartRoute
	case neighbourStep:
		return PartNeighbour
	case proxyStep:
		return PartProxyEntry
	case sharedStep:
		if setting, ok := s.resource.(uplinkSysctl); ok {
			return Part(setting.last())
		}
		return PartAlias
	}
	return ""
}

// Review compares the plan with the host, step by step, and changes nothing. A plan
// that no longer fits its uplink is compared as Renew has it, so that the remedies
// are for the uplink of now. While that is gone none can mend what stands on it.
// A step that can't be checked is not OK and has the error in Have. The first
// finding is the tap's. Where that is not OK, no command can mend what stands
// on the tap: whoever uses it holds a descriptor of the one that is gone.
func (p *Plan) Review(h *Host) []Finding {
	next, lost := p.Renew(h)
	if lost == nil {
		p = next
	}
	steps, err := p.steps()
	if err != nil {
		return []Finding{{Step: "stored plan", Want: "readable", Have: err.Error()}}
	}
	findings := make([]Finding, len(steps))
	for i, s := range steps {
		findings[i] = review(h, s)
		if _, needs := s.(interface{ needsTap() }); needs && !findings[0].OK {
			findings[i].Remedy = ""
		}
	}
	if errors.Is(lost, ErrNoUplink) {
		for i := len(p.tapSteps()); i < len(steps); i++ {
			findings[i].Have, findings[i].Remedy = p.Config.Uplink+" is gone", ""
		}
	}
	return findings
}

func review(h *Host, s step) Finding {
	want, have, err := s.check(h)
	switch {
	case err != nil && gone(err):
		have = absent
	case err != nil:
		have = permission(err).Error()
	}
	f := Finding{Part: partOf(s), Step: s.String(), Want: want, Have: have, OK: err == nil && want == have}
	if !f.OK {
		f.Remedy = remedy(s)
	}
	return f
}

// absent is what Review has to say of things that are not there.
const absent = "absent"

// remedy turns a step's commands into one line to paste into a root shell.
func remedy(s step) string {
	if _, ok := s.(tapStep); ok {
		return ""
	}
	var lines []string
	for _, c := range s.shell().Do {
		if !strings.HasPrefix(c, "old_") {
			lines = append(lines, addToReplace.Replace(c))
		}
	}
	return strings.Join(lines, " && ")
}

// addToReplace makes commands serve where something wrong is in the way.
var addToReplace = strings.NewReplacer(
	"ip route add ", "ip route replace ",
	"ip address add ", "ip address replace ",
	"ip neighbour add ", "ip neighbour replace ",
)
