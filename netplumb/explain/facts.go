package explain

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"kvmrun/netplumb"
	"kvmrun/netplumb/hostcheck"
)

// facts is all that was seen, to be judged.
type facts struct {
	Query
	cfg netplumb.Config

	review      map[netplumb.Part]netplumb.Finding
	tap, uplink device
	tapOn       string // the interface that has the tap's address; "" for none
	mac         net.HardwareAddr
	macErr      error
	rules       []rule
	mainRoute   string // the interface of the guest's own route in the main table; "" for none
	// Routes: from this host to the guest and to the peer, from the peer to the
	// guest by the uplink, from the guest to the peer by the tap.
	toGuest, toPeer, in, out lookup

	drops     []hostcheck.Drop
	dropsErr  error
	filters   int
	guest     owner
	elsewhere owner // where the guest answers instead
	peer      peer
	rival     owner

	hostTrip, outward, inward, control trip
	questions                          []question // the guest's, on the tap
	peerAsked, peerAnswered            bool       // for the guest, on the uplink
	tryErr                             error
}

// device is an interface and its settings.
type device struct {
	name, master      string
	index, mtu        int
	exists, ethernet  bool
	noARP             bool // an Ethernet on which somebody has turned ARP off
	up, carrier       bool
	forwarding, proxy bool // as they take effect
	rpFilter          int  // as it takes effect
}

// usable tells whether packets can pass by the device.
func (d device) usable() bool { return d.exists && d.up && d.carrier }

// lookup is the kernel's answer to where a packet would go.
type lookup struct {
	dev   string
	via   netip.Addr
	local bool
	table int
	err   error // of the kernel's; errNotTried
}

// rule is one of the policy rules that somebody added.
type rule struct {
	priority int
	iif      string
	from, to netip.Prefix
	text     string
}

// owner is the one who answers ARP for an address.
type owner struct {
	asked bool
	addr  netip.Addr
	mac   net.HardwareAddr
	err   error
}

// peer is the machine of the LAN that is tried with.
type peer struct {
	addr  netip.Addr // the zero Addr if there is none
	next  netip.Addr // who is asked for by ARP: the machine or the router to it
	from  netip.Addr // this host's address for it
	owner owner
}

// trip is a packet and its answer.
type trip struct {
	tried   bool
	sendErr error
	left    bool // the packet, by the first interface
	entered bool // its answer, by the same
	passed  bool // its answer, by the next interface or to this host's socket
	took    time.Duration
}

// question is an ARP question and whether this host answered it.
type question struct {
	addr     netip.Addr
	answered bool
}

func (f *facts) lan() bool { return f.Plan.LAN != nil }

// mend joins the remedies for those parts of the plan that are not as they
// should be.
func (f *facts) mend(parts ...netplumb.Part) string {
	var lines []string
	for _, part := range parts {
		if finding, checked := f.review[part]; checked && !finding.OK {
			lines = append(lines, finding.Remedy)
		}
	}
	return join(lines...)
}

// join joins commands, one a line.
func join(lines ...string) string {
	return strings.Join(slices.DeleteFunc(lines, func(line string) bool { return line == "" }), "\n")
}

// set is the command that sets a setting of IPv4; by slashes, for a dot may be
// part of the interface's name.
func set(dev, key string, value int) string {
	return fmt.Sprintf("sysctl -w net/ipv4/conf/%s/%s=%d", dev, key, value)
}

// beforeRules is the command that leads packets past the policy rules which
// somebody added, to the main table.
func (f *facts) beforeRules(match string) string {
	if len(f.rules) == 0 {
		return ""
	}
	return fmt.Sprintf("ip rule add %s lookup main pref %d", match, max(f.rules[0].priority-1, 0))
}

// ruleTexts names the policy rules that may lead packets astray.
func (f *facts) ruleTexts() string {
	if len(f.rules) == 0 {
		return ""
	}
	texts := make([]string, len(f.rules))
	for i, r := range f.rules {
		texts[i] = r.text
	}
	return " (policy rules: " + strings.Join(texts, "; ") + ")"
}

// is tells whether the kernel's answer was an error.
func (l lookup) is(err error) bool { return errors.Is(l.err, err) }

// String says where a packet would go.
func (l lookup) String() string {
	switch {
	case l.is(unix.ENETUNREACH):
		return "there is no route"
	case l.is(unix.EHOSTUNREACH):
		return "it is unreachable by its route, or forwarding is off"
	case l.is(unix.EACCES):
		return "a route prohibits it"
	case l.is(unix.EINVAL):
		return "the kernel drops it (no route, a blackhole, or a sender that it does not believe)"
	case l.err != nil:
		return l.err.Error()
	case l.local:
		return "this host takes it for its own"
	}
	text := "dev " + l.dev
	if l.via.IsValid() {
		text = "via " + l.via.String() + " " + text
	}
	if l.table != 0 && l.table != unix.RT_TABLE_MAIN {
		text += fmt.Sprintf(" (table %d)", l.table)
	}
	return text
}
