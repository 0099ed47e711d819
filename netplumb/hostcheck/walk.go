package hostcheck

import "fmt"

// drops follows each packet through each chain at a hook.
func (f filter) drops(at Hook, packets []Packet) ([]Drop, error) {
	var found []Drop
	for _, h := range f.hooks {
		if h.at != at {
			continue
		}
		dropped := Drop{Hook: at, Filter: f.name, Chain: h.chain, docker: f.chains[dockerChain]}
		doubted := dropped
		doubted.Unjudged = true
		for _, packet := range packets {
			w := walk{filter: f, packet: packet, known: map[string]*ending{}}
			end, err := w.through(h.chain)
			if err != nil {
				return nil, err
			}
			if end.verdict == pass && h.policy == drop {
				end = ending{drop, "its policy"}
			}
			if end.verdict == drop {
				dropped.Packets, dropped.By = append(dropped.Packets, packet), end.by
				dropped.Certain = dropped.Certain || !w.perhaps
			} else if w.doubt != "" {
				doubted.Packets, doubted.By = append(doubted.Packets, packet), w.doubt
			}
		}
		for _, d := range []Drop{dropped, doubted} {
			if d.Packets != nil {
				found = append(found, d)
			}
		}
	}
	return found, nil
}

// walk is one packet's way through a filter.
type walk struct {
	filter  filter
	packet  Packet
	perhaps bool   // a rule that was not judged might have accepted the packet
	doubt   string // the first such rule that might have dropped it
	// known is how chains end for the packet, nil for one that it is in.
	known map[string]*ending
}

// ending is what a chain does to a packet: accept, drop or, where nothing
// certain, pass.
type ending struct {
	verdict verdict
	by      string // what drops it
}

// through follows the packet through a chain.
func (w *walk) through(chain string) (ending, error) {
	if end, entered := w.known[chain]; entered {
		if end == nil {
			return ending{}, fmt.Errorf("chain %s of %s jumps to itself", chain, w.filter.name)
		}
		return *end, nil
	}
	w.known[chain] = nil
	rules, err := w.filter.rules(chain)
	if err != nil {
		return ending{}, err
	}
	end, err := w.follow(chain, rules)
	if err != nil {
		return ending{}, err
	}
	w.known[chain] = &end
	return end, nil
}

func (w *walk) follow(chain string, rules []rule) (ending, error) {
	for i, r := range rules {
		if !r.applies(w.packet) {
			continue
		}
		place := fmt.Sprintf("rule %d of chain %s", i+1, chain)
		end, err := w.step(r, place)
		if err != nil {
			return ending{}, err
		}
		switch {
		case end.verdict == leave, end.verdict == pass && r.verdict == leap && r.judged(w.packet):
			return ending{}, nil
		case end.verdict == drop && r.verdict == drop:
			return ending{drop, place}, nil
		case end.verdict != pass:
			return end, nil
		}
	}
	return ending{}, nil
}

// step is what one rule does to the packet. A rule that is not judged is taken
// for one that does not match, and remembered if it might have decided.
func (w *walk) step(r rule, place string) (ending, error) {
	end := ending{verdict: r.verdict}
	if r.verdict == jump || r.verdict == leap {
		var err error
		if end, err = w.through(r.target); err != nil {
			return ending{}, err
		}
	}
	if r.judged(w.packet) && end.verdict != other {
		return end, nil
	}
	w.perhaps = w.perhaps || end.verdict == accept || end.verdict == other
	if w.doubt == "" && (end.verdict == drop || end.verdict == other) {
		w.doubt = place
	}
	return ending{}, nil
}
