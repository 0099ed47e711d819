package hostcheck

import (
	"slices"
	"strings"
)

// Forward checks that the host's packet filters let packets pass between taps
// and everything else, with a new connection from a guest and one to a guest.
// Where a rule that is not judged might decide, the result is a warning. Seen
// without CAP_NET_ADMIN, rules are not readable.
func (h Host) Forward() Result {
	const name = "forward"
	filters, err := h.Filters()
	if err != nil {
		return unknown(name, err)
	}
	drops, err := filters.Drops(Forward, h.packets()...)
	if err != nil {
		return unknown(name, err)
	}
	return h.judgeForward(filters.Count(Forward), drops)
}

func (h Host) judgeForward(hooks int, drops []Drop) Result {
	const name = "forward"
	var seen, doubts, remedies []string
	certain := false
	for _, d := range drops {
		if d.Unjudged {
			if text := d.By + " of " + d.Filter; !slices.Contains(doubts, text) {
				doubts = append(doubts, text)
			}
			continue
		}
		certain = certain || d.Certain
		seen = append(seen, d.String())
		if remedy := d.Remedy(h.TapPrefix + "*"); !slices.Contains(remedies, remedy) {
			remedies = append(remedies, remedy)
		}
	}
	text, remedy := strings.Join(seen, "; "), strings.Join(remedies, "\n")
	switch {
	case certain:
		return fail(name, remedy, "%s; a rule that accepts elsewhere cannot overrule that", text)
	case len(seen) > 0:
		return warn(name, remedy, "%s; rules that could not be judged may let them pass", text)
	case len(doubts) > 0:
		return warn(name, "", "what guests send or get might be dropped by %s, which could not be judged", strings.Join(doubts, " and by "))
	}
	return ok(name, "none of the %d packet filters at the forward hook drops what guests send or get", hooks)
}

// packets are the two that must pass: the first of a connection from a guest,
// and of one to it.
func (h Host) packets() []Packet {
	tap, outside := h.TapPrefix+"0", h.Uplink
	return []Packet{
		{In: tap, Out: outside, What: "from guests"},
		{In: outside, Out: tap, What: "to guests"},
	}
}
