package hostcheck

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
	"math/bits"
	"net/netip"

	"github.com/google/nftables"
	"github.com/google/nftables/expr"
	"github.com/google/nftables/xt"
	"golang.org/x/sys/unix"
)

// familyNames are nft(8)'s names for the families that see forwarded IPv4.
var familyNames = map[nftables.TableFamily]string{
	nftables.TableFamilyIPv4: "ip",
	nftables.TableFamilyINet: "inet",
}

// hookNames are the hooks of both families (linux/netfilter.h).
var hookNames = map[nftables.ChainHook]Hook{
	*nftables.ChainHookPrerouting:  Prerouting,
	*nftables.ChainHookInput:       Input,
	*nftables.ChainHookForward:     Forward,
	*nftables.ChainHookOutput:      Output,
	*nftables.ChainHookPostrouting: Postrouting,
}

// readNFTables finds the tables and their chains at the hooks. A kernel
// without nftables has none.
func readNFTables() ([]filter, error) {
	conn, err := nftables.New()
	if err != nil {
		return nil, fmt.Errorf("ask nftables for its chains: %w", err)
	}
	chains, err := conn.ListChains()
	switch {
	case errors.Is(err, unix.EOPNOTSUPP), errors.Is(err, unix.EINVAL):
		return nil, nil
	case errors.Is(err, fs.ErrPermission):
		return nil, fmt.Errorf("ask nftables for its chains (needs CAP_NET_ADMIN): %w", err)
	case err != nil:
		return nil, fmt.Errorf("ask nftables for its chains: %w", err)
	}
	return filtersOf(conn, chains), nil
}

func filtersOf(conn *nftables.Conn, chains []*nftables.Chain) []filter {
	index := map[string]int{}
	var filters []filter
	for _, chain := range chains {
		family, relevant := familyNames[chain.Table.Family]
		if !relevant {
			continue
		}
		name := family + " " + chain.Table.Name
		i, known := index[name]
		if !known {
			i = len(filters)
			index[name] = i
			filters = append(filters, filter{name: name, chains: map[string]bool{}, rules: rulesReader(conn, chain.Table, name)})
		}
		filters[i].chains[chain.Name] = true
		if chain.Hooknum == nil {
			continue
		}
		if at, known := hookNames[*chain.Hooknum]; known {
			filters[i].hooks = append(filters[i].hooks, hook{at, chain.Name, policyOf(chain)})
		}
	}
	return filters
}

func policyOf(chain *nftables.Chain) verdict {
	if chain.Policy != nil && *chain.Policy == nftables.ChainPolicyDrop {
		return drop
	}
	return accept
}

// rulesReader reads chains when a packet comes to them, each one once: of the
// thousands that some hosts have, few concern guests.
func rulesReader(conn *nftables.Conn, table *nftables.Table, name string) func(string) ([]rule, error) {
	known := map[string][]rule{}
	return func(chain string) ([]rule, error) {
		if rules, ok := known[chain]; ok {
			return rules, nil
		}
		raw, err := conn.GetRules(table, &nftables.Chain{Name: chain})
		if err != nil {
			return nil, fmt.Errorf("read the rules of chain %s of %s: %w", chain, name, err)
		}
		rules := make([]rule, len(raw))
		for i, r := range raw {
			rules[i] = ruleOf(r.Exprs)
		}
		known[chain] = rules
		return rules, nil
	}
}

// ruleOf reads a rule's expressions: something is loaded into a register, then
// compared. Whatever else is compared makes the rule one that is not judged.
func ruleOf(exprs []expr.Any) rule {
	var r rule
	var loaded any // what the register holds
	for _, e := range exprs {
		switch e := e.(type) {
		case *expr.Meta, *expr.Ct:
			loaded = e
		case *expr.Payload:
			loaded = addressOf(e)
		case *expr.Bitwise:
			loaded = masked(loaded, e)
		case *expr.Cmp:
			r.compare(loaded, e)
		case *expr.Match:
			r.compareExtension(e)
		case *expr.Verdict:
			r.verdict, r.target = verdictOf(e), e.Chain
		case *expr.Reject:
			r.verdict = drop
		case *expr.Target:
			r.verdict = verdictOfTarget(e.Name)
		case *expr.Counter, *expr.Log:
		default:
			r.unsure = true
			if lookup, isLookup := e.(*expr.Lookup); isLookup && lookup.IsDestRegSet {
				r.verdict = other // a verdict map
			}
		}
	}
	return r
}

// states is what a masked conntrack state is compared with.
type states struct{ mask uint32 }

// Bits of a conntrack state (NF_CT_STATE_BIT of linux/netfilter/
// nf_conntrack_common.h).
const stateNew = 1 << 3

// address is one of a packet's, or its network.
type address struct {
	field field
	bits  int
}

// Places of the addresses in an IPv4 header (RFC 791).
const (
	offsetSource      = 12
	offsetDestination = 16
)

// addressOf is the address that is loaded, nil if it is something else. nft
// loads no more than the bytes that it compares.
func addressOf(e *expr.Payload) any {
	if e.OperationType != expr.PayloadLoad || e.Base != expr.PayloadBaseNetworkHeader || e.Len > 4 {
		return nil
	}
	switch e.Offset {
	case offsetSource:
		return address{source, 8 * int(e.Len)}
	case offsetDestination:
		return address{destination, 8 * int(e.Len)}
	}
	return nil
}

// masked is what is left of what was loaded.
func masked(loaded any, e *expr.Bitwise) any {
	if len(e.Mask) != 4 || !bytes.Equal(e.Xor, make([]byte, len(e.Xor))) {
		return nil
	}
	switch loaded := loaded.(type) {
	case *expr.Ct:
		if loaded.Key == expr.CtKeySTATE {
			return states{binary.NativeEndian.Uint32(e.Mask)}
		}
	case address:
		ones := bits.LeadingZeros32(^binary.BigEndian.Uint32(e.Mask))
		if bits.OnesCount32(binary.BigEndian.Uint32(e.Mask)) == ones {
			return address{loaded.field, ones}
		}
	}
	return nil
}

func (r *rule) compare(loaded any, e *expr.Cmp) {
	equal := e.Op == expr.CmpOpEq
	if !equal && e.Op != expr.CmpOpNeq {
		r.unsure = true
		return
	}
	switch loaded := loaded.(type) {
	case states: // (state & mask) != 0
		r.matches = append(r.matches, match{field: newState, invert: equal == (loaded.mask&stateNew != 0)})
		return
	case address:
		if len(e.Data) > 4 {
			break
		}
		var addr [4]byte
		copy(addr[:], e.Data)
		r.matches = append(r.matches, match{field: loaded.field, prefix: netip.PrefixFrom(netip.AddrFrom4(addr), loaded.bits), invert: !equal})
		return
	case *expr.Meta:
		switch loaded.Key {
		case expr.MetaKeyIIFNAME:
			r.matches = append(r.matches, match{field: inName, value: nameOf(e.Data), invert: !equal})
			return
		case expr.MetaKeyOIFNAME:
			r.matches = append(r.matches, match{field: outName, value: nameOf(e.Data), invert: !equal})
			return
		case expr.MetaKeyNFPROTO:
			ipv4 := bytes.Equal(e.Data, []byte{unix.NFPROTO_IPV4})
			r.matches = append(r.matches, match{field: newState, invert: ipv4 != equal})
			return
		}
	}
	r.unsure = true
}

// nameOf is the interface name in a comparison: all sixteen bytes of it, or
// fewer, and then every name that begins so matches.
func nameOf(data []byte) string {
	name, _, whole := bytes.Cut(data, []byte{0})
	if whole || len(data) == unix.IFNAMSIZ {
		return string(name)
	}
	return string(name) + "*"
}

// compareExtension reads a match of iptables'.
func (r *rule) compareExtension(e *expr.Match) {
	switch info := e.Info.(type) {
	case *xt.Comment:
	case *xt.ConntrackMtinfo3:
		if xt.ConntrackFlags(info.MatchFlags)&^xt.ConntrackStateAlias != xt.ConntrackState {
			r.unsure = true
			return
		}
		inverted := xt.ConntrackFlags(info.InvertFlags)&xt.ConntrackState != 0
		r.matches = append(r.matches, match{field: newState, invert: (info.StateMask&stateNew != 0) == inverted})
	default:
		r.unsure = true
	}
}

func verdictOf(e *expr.Verdict) verdict {
	switch e.Kind {
	case expr.VerdictAccept:
		return accept
	case expr.VerdictDrop:
		return drop
	case expr.VerdictReturn:
		return leave
	case expr.VerdictJump:
		return jump
	case expr.VerdictGoto:
		return leap
	case expr.VerdictContinue:
		return pass
	default:
		return other
	}
}

// verdictOfTarget reads a target of iptables' that nftables has no word for.
// Most, like LOG and TCPMSS, decide nothing.
func verdictOfTarget(name string) verdict {
	switch name {
	case "REJECT":
		return drop
	case "NFQUEUE", "QUEUE":
		return other
	default:
		return pass
	}
}
