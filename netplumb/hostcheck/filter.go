package hostcheck

import (
	"net/netip"
	"slices"
	"strings"
)

// verdict is what becomes of a packet in a chain.
type verdict int

const (
	pass   verdict = iota // nothing decided: on to the next rule
	accept                // done with this chain at the hook
	drop                  // gone, by drop or reject
	leave                 // back to the chain that jumped here
	jump                  // through another chain and back
	leap                  // through another chain, not back (nft's goto)
	other                 // something only the kernel can tell
)

// Hook is a place on a packet's way through the kernel where filters stand
// (netfilter's hooks, linux/netfilter.h).
type Hook string

// The hooks that IPv4 packets come by.
const (
	Prerouting  Hook = "prerouting"
	Input       Hook = "input"
	Forward     Hook = "forward"
	Output      Hook = "output"
	Postrouting Hook = "postrouting"
)

// Packet is the first of a new connection on its way.
type Packet struct {
	// In and Out are the interfaces that it comes and goes by. An empty name
	// stands for one that no rule names.
	In, Out string
	// Source and Destination are its addresses. Where they are zero, rules
	// that ask for them are not judged.
	Source, Destination netip.Addr
	// What says whose it is: "from guests".
	What string
}

// filter is one table and what of it stands at the hooks.
type filter struct {
	name  string
	hooks []hook
	// rules reads a chain's rules; a chain that does not exist has none.
	rules func(chain string) ([]rule, error)
	// chains tells which chains there are.
	chains map[string]bool
}

// hook is a chain at a hook.
type hook struct {
	at     Hook
	chain  string
	policy verdict // accept or drop
}

// rule is as much of a rule as can be judged.
type rule struct {
	matches []match
	unsure  bool // it matches on something else too
	verdict verdict
	target  string // of jump and leap
}

// match compares one thing that may be known of a packet.
type match struct {
	field  field
	value  string       // a name, with a star at its end for every name that begins so
	prefix netip.Prefix // of an address
	invert bool
}

type field int

const (
	inName field = iota
	outName
	newState // a connection's first packet; the value is not looked at
	source
	destination
)

// known tells whether a packet has what is compared.
func (m match) known(p Packet) bool {
	switch m.field {
	case source:
		return p.Source.IsValid()
	case destination:
		return p.Destination.IsValid()
	}
	return true
}

func (m match) holds(p Packet) bool {
	holds := m.field == newState
	switch m.field {
	case inName:
		holds = matchesName(m.value, p.In)
	case outName:
		holds = matchesName(m.value, p.Out)
	case source:
		holds = m.prefix.Contains(p.Source)
	case destination:
		holds = m.prefix.Contains(p.Destination)
	}
	return holds != m.invert
}

func matchesName(pattern, name string) bool {
	if prefix, wild := strings.CutSuffix(pattern, "*"); wild {
		return strings.HasPrefix(name, prefix)
	}
	return pattern == name
}

// applies tells whether nothing that is known of a packet keeps the rule from
// matching it.
func (r rule) applies(p Packet) bool {
	return !slices.ContainsFunc(r.matches, func(m match) bool { return m.known(p) && !m.holds(p) })
}

// judged tells whether a rule that applies is sure to match.
func (r rule) judged(p Packet) bool {
	return !r.unsure && !slices.ContainsFunc(r.matches, func(m match) bool { return !m.known(p) })
}
