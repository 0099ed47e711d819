// Package explain says why a guest cannot be reached, or that it can.
//
// It goes the way of a packet, hop by hop, from the guest's cable to a machine of
// the LAN. What stands in the kernel is looked at, and packets are sent each way
// and watched for on the tap and on the uplink: a packet socket sees what comes
// in before any filter of netfilter's, and what goes out after it, so where a
// packet was last seen tells where it was lost.
//
// Nothing is changed: what is sent is ARP and ICMP echo (RFC 826, RFC 792). First
// everything is seen (facts), then it is judged; judging is pure. It works in the
// process's network namespace and needs CAP_NET_ADMIN and CAP_NET_RAW.
package explain

import (
	"context"
	"fmt"
	"net/netip"
	"time"

	"kvmrun/netplumb"
)

// Status is what a hop came to.
type Status string

// The verdicts of a hop.
const (
	OK      Status = "ok"
	Warn    Status = "warn"    // it works, but not as it should, or not for all
	Fail    Status = "fail"    // here packets are lost
	Unknown Status = "unknown" // it could not be told
	Skipped Status = "skipped" // it does not matter here, or another hop comes first
)

// The hops. Names never change: programs may look for them.
const (
	HopTap        = "tap"         // the guest's cable
	HopGuest      = "guest"       // the guest answers for its address
	HopAddress    = "address"     // the host's on the tap
	HopNeighbour  = "neighbour"   // the guest's MAC as the host has it
	HopRoute      = "route"       // from the host itself to the guest
	HopHost       = "host"        // a packet from the host to the guest and its answer
	HopUplink     = "uplink"      // the cable to the LAN
	HopForwarding = "forwarding"  // the host is a router between the two
	HopRPFilter   = "rp-filter"   // reverse-path filters let packets in
	HopRouteIn    = "route-in"    // for what comes by the uplink to the guest
	HopRouteOut   = "route-out"   // for what comes by the tap from the guest
	HopFilters    = "filters"     // nftables and iptables
	HopLANMachine = "lan-machine" // there is a machine to speak to
	HopRival      = "rival"       // nobody else has the guest's address
	HopProxyARP   = "proxy-arp"   // the host answers for the guest on the LAN
	HopGateway    = "gateway"     // the host answers the guest's own questions
	HopOutward    = "outward"     // a packet from the guest to the LAN
	HopInward     = "inward"      // a packet from the LAN to the guest
)

// Hop is a part of the way.
type Hop struct {
	Name   string `json:"name"`
	Status Status `json:"status"`
	// Seen says in a sentence what is so and, unless all is well, what it does
	// to packets.
	Seen string `json:"seen"`
	// Remedy is shell commands, one a line, that mend it. A line that is for
	// another machine says so in a remark.
	Remedy string `json:"remedy,omitempty"`
	// Look is shell commands, one a line, that show more. They mend nothing.
	Look string `json:"look,omitempty"`
}

// Query is what to explain.
type Query struct {
	// Plan is the guest's network as it should be.
	Plan *netplumb.Plan
	// With is a machine of the LAN to try with; the zero Addr stands for the
	// uplink's default router.
	With netip.Addr
	// Still says that the guest is known to stand still, so that nothing need
	// be asked of it.
	Still bool
	// Taps is the tap's name, or what the names of all guests' taps begin with
	// and a star: for whom remedies open a packet filter.
	Taps string
	// Patience is how long each question waits for its answer.
	Patience time.Duration
}

// Report is the way of a guest's packets.
type Report struct {
	// With is the LAN's machine that was tried with; zero if there is none.
	With netip.Addr
	// Hops are in the order of the way from the guest to the LAN.
	Hops []Hop
}

// Explain looks and tries. It takes a second, and about four times
// Query.Patience where nobody answers. An error says that nothing could be tried
// at all.
func Explain(ctx context.Context, host *netplumb.Host, q Query) (Report, error) {
	f := facts{Query: q, cfg: q.Plan.Config}
	if err := f.look(host); err != nil {
		return Report{}, fmt.Errorf("look at the way to %s: %w", f.cfg.Address, err)
	}
	if err := f.try(ctx); err != nil {
		return Report{}, fmt.Errorf("try the way to %s: %w", f.cfg.Address, err)
	}
	return Report{With: f.peer.addr, Hops: f.hops()}, nil
}

// Broken returns the first hop that fails, the one to mend first.
func Broken(hops []Hop) (Hop, bool) {
	for _, h := range hops {
		if h.Status == Fail {
			return h, true
		}
	}
	return Hop{}, false
}
