package hostcheck

import (
	"fmt"
	"slices"
	"strings"
)

// Forward checks that the host's packet filters let packets pass between taps
// and everything else.
//
// Every chain at the forward hook has to let a packet pass: one that drops
// cannot be overruled by another that accepts, whatever their priorities. So
// each is followed on its own, with a new connection from a guest and one to a
// guest. nftables, and with it today's iptables, is read by netlink; legacy
// iptables, a filter of its own in the kernel, by its program, and only if its
// table is loaded, because asking would load it. Rules that match more than
// interfaces and connection states are not judged; where one of those might
// decide, the result is a warning. Seen without CAP_NET_ADMIN, rules are not
// readable.
func (h Host) Forward() Result {
	const name = "forward"
	filters, err := h.filters()
	if err != nil {
		return unknown(name, err)
	}
	var blockers []blocker
	var doubts []string
	hooks := 0
	for _, f := range filters {
		hooks += len(f.hooks)
		found, unsure, err := f.blockers(h.packets())
		if err != nil {
			return unknown(name, err)
		}
		blockers, doubts = append(blockers, found...), append(doubts, unsure...)
	}
	return h.judgeForward(hooks, blockers, doubts)
}

func (h Host) judgeForward(hooks int, blockers []blocker, doubts []string) Result {
	const name = "forward"
	if len(blockers) == 0 && len(doubts) > 0 {
		return warn(name, "", "what guests send or get might be dropped by %s, which could not be judged", strings.Join(doubts, " and by "))
	}
	if len(blockers) == 0 {
		return ok(name, "none of the %d packet filters at the forward hook drops what guests send or get", hooks)
	}
	var seen, remedies []string
	certain := false
	for _, b := range blockers {
		certain = certain || !b.perhaps
		seen = append(seen, b.String())
		if remedy := b.remedy(h.TapPrefix); !slices.Contains(remedies, remedy) {
			remedies = append(remedies, remedy)
		}
	}
	text, remedy := strings.Join(seen, "; "), strings.Join(remedies, "\n")
	if certain {
		return fail(name, remedy, "%s; a rule that accepts elsewhere cannot overrule that", text)
	}
	return warn(name, remedy, "%s; rules that could not be judged may let them pass", text)
}

// packets are the two that must pass: the first of a connection from a guest,
// and of one to it.
func (h Host) packets() []direction {
	tap, outside := h.TapPrefix+"0", h.Uplink
	return []direction{
		{in: tap, out: outside, what: "from guests"},
		{in: outside, out: tap, what: "to guests"},
	}
}

// filters reads what stands at the forward hook: nftables' tables and legacy
// iptables' one.
func (h Host) filters() ([]filter, error) {
	filters, err := readNFTables()
	if err != nil {
		return nil, err
	}
	legacy, loaded, err := h.readLegacy()
	if err != nil || !loaded {
		return filters, err
	}
	return append(filters, legacy), nil
}

// blocker is a chain at the hook that drops guests' packets.
type blocker struct {
	filter  string // as in the remedy: "ip filter", or legacyFilter
	chain   string
	what    []string // which packets
	by      string   // the policy or rule that drops
	perhaps bool     // some rule that was not judged may accept before that
	docker  bool     // the filter has Docker's chain for other people's rules
}

func (b blocker) String() string {
	return fmt.Sprintf("chain %s of %s drops packets %s by %s", b.chain, b.filter, strings.Join(b.what, " and "), b.by)
}

const dockerChain = "DOCKER-USER"

// remedy is the commands that let guests' packets pass in this chain.
func (b blocker) remedy(prefix string) string {
	program, chain := "iptables", b.chain
	switch {
	case b.filter == legacyFilter:
		program = "iptables-legacy"
	case b.filter != "ip filter" || b.chain != "FORWARD":
		return fmt.Sprintf("nft insert rule %[1]s %[2]s iifname \"%[3]s*\" accept\nnft insert rule %[1]s %[2]s oifname \"%[3]s*\" accept",
			b.filter, b.chain, prefix)
	}
	if b.docker {
		chain = dockerChain // Docker leaves this one alone, and goes through it first
	}
	return fmt.Sprintf("%[1]s -I %[2]s -i %[3]s+ -j ACCEPT\n%[1]s -I %[2]s -o %[3]s+ -j ACCEPT", program, chain, prefix)
}
