package explain

import (
	"slices"
	"strings"

	"kvmrun/netplumb/hostcheck"
)

// onTheWay are the hooks by which a packet passes that this host forwards.
var onTheWay = []hostcheck.Hook{hostcheck.Prerouting, hostcheck.Forward, hostcheck.Postrouting}

// judgeFilters judges packet filters by their rules and, where a rule could not
// be judged, by whether real packets got through.
func (f *facts) judgeFilters() Hop {
	if f.dropsErr != nil {
		return unknown(HopFilters, "%v", f.dropsErr)
	}
	var seen, remedies, doubts []string
	for _, what := range []string{fromGuest, toGuest} {
		found, remedy := f.dropped(what, f.vanished(what), onTheWay...)
		switch {
		case found == "":
		case slices.Contains(seen, found):
		default:
			seen, remedies = append(seen, found), append(remedies, remedy)
		}
		if found == "" {
			found, _ = f.dropped(what, true, onTheWay...)
			if found != "" && !slices.Contains(doubts, found) {
				doubts = append(doubts, found)
			}
		}
	}
	look := []string{"nft list ruleset", "iptables-save -c"}
	switch {
	case len(seen) > 0:
		return fail(HopFilters, join(unique(remedies)...), "%s", strings.Join(seen, "; ")).look(look...)
	case len(doubts) > 0:
		return warn(HopFilters, "", "%s; pings of known connections get through, others might not", strings.Join(doubts, "; ")).look(look...)
	}
	return ok(HopFilters, "none of %d chains drops what is for the guest or from it", f.filters)
}

// unique splits remedies into lines and drops those that come again.
func unique(remedies []string) []string {
	var lines []string
	for line := range strings.SplitSeq(strings.Join(remedies, "\n"), "\n") {
		if !slices.Contains(lines, line) {
			lines = append(lines, line)
		}
	}
	return lines
}

// vanished tells whether a packet of that kind was lost inside of this host.
func (f *facts) vanished(what string) bool {
	lost := func(t trip) bool { return t.entered && !t.passed }
	if what == fromGuest {
		return lost(f.outward) || lost(f.hostTrip)
	}
	return lost(f.inward)
}

// dropped names what drops packets of a kind at some hooks, and what lets them
// pass. Rules that could not be judged count if doubtful is set.
func (f *facts) dropped(what string, doubtful bool, hooks ...hostcheck.Hook) (seen, remedy string) {
	var texts, remedies []string
	for _, d := range f.drops {
		concerns := slices.ContainsFunc(d.Packets, func(p hostcheck.Packet) bool { return p.What == what })
		if !concerns || !slices.Contains(hooks, d.Hook) || !d.Certain && !doubtful {
			continue
		}
		text := d.String()
		switch {
		case d.Unjudged:
			text = d.By + " of " + d.Filter + ", which could not be judged, may drop packets " + what
		case !d.Certain:
			text += ", unless a rule that could not be judged lets them pass"
		}
		texts, remedies = append(texts, text), append(remedies, d.Remedy(f.Taps))
	}
	return strings.Join(texts, "; "), join(unique(remedies)...)
}
