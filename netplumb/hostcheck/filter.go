package hostcheck

import "strings"

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

// filter is one table and what of it stands at the forward hook.
type filter struct {
	name  string
	hooks []hook
	// rules reads a chain's rules; a chain that does not exist has none.
	rules func(chain string) ([]rule, error)
	// chains tells which chains there are.
	chains map[string]bool
}

// hook is a chain at the forward hook.
type hook struct {
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

// match compares one thing that is known of a packet.
type match struct {
	field  field
	value  string // a name, with a star at its end for every name that begins so
	invert bool
}

type field int

const (
	inName field = iota
	outName
	newState // a connection's first packet; the value is not looked at
)

// direction is a packet on its way. An empty name stands for an interface that
// no rule names.
type direction struct{ in, out, what string }

func (m match) holds(d direction) bool {
	holds := m.field == newState
	switch m.field {
	case inName:
		holds = matchesName(m.value, d.in)
	case outName:
		holds = matchesName(m.value, d.out)
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
func (r rule) applies(d direction) bool {
	for _, m := range r.matches {
		if !m.holds(d) {
			return false
		}
	}
	return true
}
