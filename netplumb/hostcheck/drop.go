package hostcheck

import (
	"fmt"
	"strings"
)

// Filters are the host's packet filters, of which a rule is read when a packet
// comes to it.
//
// nftables, and with it today's iptables, is read by netlink; legacy iptables, a
// filter of its own in the kernel, by its program, and only if its table is
// loaded, because asking would load it. Rules that match more than interfaces,
// addresses and connection states are not judged. Of legacy iptables the filter
// table alone is looked at, of nftables the families ip and inet.
type Filters struct{ all []filter }

// Filters finds the chains at the hooks. It needs CAP_NET_ADMIN.
func (h Host) Filters() (Filters, error) {
	filters, err := readNFTables()
	if err != nil {
		return Filters{}, err
	}
	legacy, loaded, err := h.readLegacy()
	if err != nil || !loaded {
		return Filters{filters}, err
	}
	return Filters{append(filters, legacy)}, nil
}

// Count is the number of chains at a hook.
func (f Filters) Count(at Hook) int {
	n := 0
	for _, filter := range f.all {
		for _, hook := range filter.hooks {
			if hook.at == at {
				n++
			}
		}
	}
	return n
}

// Drops tells which chains at a hook drop any of the packets, or might. Every
// chain at a hook has to let a packet pass: one that drops cannot be overruled by
// another that accepts, whatever their priorities. So each is followed on its
// own.
func (f Filters) Drops(at Hook, packets ...Packet) ([]Drop, error) {
	var found []Drop
	for _, filter := range f.all {
		drops, err := filter.drops(at, packets)
		if err != nil {
			return nil, err
		}
		found = append(found, drops...)
	}
	return found, nil
}

// Drop is a chain at a hook that drops packets.
type Drop struct {
	Hook   Hook
	Filter string // as nft names it: "ip filter"; or "legacy iptables"
	Chain  string
	// Packets are those of the asked ones that it drops.
	Packets []Packet
	By      string // the policy or rule that drops
	// Certain says of at least one of the packets that no rule which was not
	// judged may accept it before that.
	Certain bool
	// Unjudged says that By is itself a rule that was not judged, which may not
	// match at all.
	Unjudged bool

	docker bool // the filter has Docker's chain for other people's rules
}

// String says what drops which packets.
func (d Drop) String() string {
	what := make([]string, len(d.Packets))
	for i, p := range d.Packets {
		what[i] = p.What
	}
	return fmt.Sprintf("chain %s of %s drops packets %s by %s", d.Chain, d.Filter, strings.Join(what, " and "), d.By)
}

const dockerChain = "DOCKER-USER"

// Remedy is the commands, one a line, that let the packets pass in this chain.
// taps is the name of the guest's tap, or what the names of all guests' taps
// begin with and a star. Where packets are forwarded both ways are opened.
func (d Drop) Remedy(taps string) string {
	matches := []string{"iif " + taps, "oif " + taps}
	if d.Hook != Forward {
		matches = nil
		for _, p := range d.Packets {
			matches = append(matches, d.matchFor(p, taps))
		}
	}
	lines := make([]string, len(matches))
	for i, m := range matches {
		lines[i] = d.accept(m)
	}
	return strings.Join(lines, "\n")
}

// matchFor tells a guest's packet from others at a hook that does not know both
// interfaces. What is the guest's alone is its tap, or else its address.
func (d Drop) matchFor(p Packet, taps string) string {
	switch {
	case d.Hook != Output && d.Hook != Postrouting && matchesName(taps, p.In):
		return "iif " + taps
	case d.Hook != Input && d.Hook != Prerouting && matchesName(taps, p.Out):
		return "oif " + taps
	case d.Hook == Postrouting:
		return "saddr " + p.Source.String()
	}
	return "daddr " + p.Destination.String()
}

// accept is the command that puts a rule first in the chain.
func (d Drop) accept(match string) string {
	what, value, _ := strings.Cut(match, " ")
	program, chain := "iptables", d.Chain
	switch {
	case d.Filter == legacyFilter:
		program = "iptables-legacy"
	case d.Filter != "ip filter" || d.Chain != strings.ToUpper(string(d.Hook)):
		return fmt.Sprintf("nft insert rule %s %s %s accept", d.Filter, d.Chain, nftMatch(what, value))
	case d.docker && d.Hook == Forward:
		chain = dockerChain // Docker leaves this one alone, and goes through it first
	}
	return fmt.Sprintf("%s -I %s %s -j ACCEPT", program, chain, iptablesMatch(what, value))
}

func nftMatch(what, value string) string {
	if what == "iif" || what == "oif" {
		return fmt.Sprintf("%sname %q", what, value)
	}
	return "ip " + what + " " + value
}

func iptablesMatch(what, value string) string {
	if prefix, wild := strings.CutSuffix(value, "*"); wild {
		value = prefix + "+"
	}
	return map[string]string{"iif": "-i ", "oif": "-o ", "saddr": "-s ", "daddr": "-d "}[what] + value
}
