package dns

import (
	"net/netip"
	"strings"

	"golang.org/x/net/dns/dnsmessage"
)

// lifetime is how long a guest may remember a name, in seconds: VMs come and go.
const lifetime = 5

// judge answers what can be answered from here: the names of guests, bare and below
// Domain, and their addresses the other way round. ok is false for what another
// server has to be asked. An answer of nil is none at all.
//
// A bare name that is no guest's may be known to the host's own servers. A name below
// Domain is nobody else's.
func judge(q query, names Names) (answer []byte, ok bool) {
	switch {
	case q.header.OpCode != 0: // only plain queries; updates and the like are for nobody here
		return q.reply(dnsmessage.RCodeNotImplemented, nil), true
	case q.question.Class != dnsmessage.ClassINET:
		return nil, false
	}
	if addr, is := reverse(q.name); is {
		name, known := names.Name(addr)
		if !known {
			return nil, false
		}
		return q.pointer(name), true
	}
	name, below := inDomain(q.name)
	if !below && (name == "" || strings.Contains(name, ".")) {
		return nil, false
	}
	if name == "" { // Domain itself
		return q.reply(dnsmessage.RCodeSuccess, nothing), true
	}
	addr, known := names.Address(name)
	switch {
	case known:
		return q.address(addr), true
	case below:
		return q.reply(dnsmessage.RCodeNameError, nil), true
	}
	return nil, false
}

// nothing says that there is the name but no record of the kind.
func nothing(*dnsmessage.Builder) error { return nil }

// wants tells whether the question is for records of that type.
func (q query) wants(t dnsmessage.Type) bool {
	return q.question.Type == t || q.question.Type == dnsmessage.TypeALL
}

func (q query) resource() dnsmessage.ResourceHeader {
	return dnsmessage.ResourceHeader{Name: q.question.Name, Class: dnsmessage.ClassINET, TTL: lifetime}
}

func (q query) address(addr netip.Addr) []byte {
	if !q.wants(dnsmessage.TypeA) || !addr.Is4() {
		return q.reply(dnsmessage.RCodeSuccess, nothing)
	}
	return q.reply(dnsmessage.RCodeSuccess, func(b *dnsmessage.Builder) error {
		return b.AResource(q.resource(), dnsmessage.AResource{A: addr.As4()})
	})
}

func (q query) pointer(name string) []byte {
	target, err := dnsmessage.NewName(name + "." + Domain + ".")
	if err != nil || !q.wants(dnsmessage.TypePTR) {
		return q.reply(dnsmessage.RCodeSuccess, nothing)
	}
	return q.reply(dnsmessage.RCodeSuccess, func(b *dnsmessage.Builder) error {
		return b.PTRResource(q.resource(), dnsmessage.PTRResource{PTR: target})
	})
}

// reverse reads the name by which an IPv4 address is looked up (RFC 1035, section
// 3.5).
func reverse(name string) (netip.Addr, bool) {
	digits, ok := strings.CutSuffix(name, ".in-addr.arpa")
	labels := strings.Split(digits, ".")
	if !ok || len(labels) != 4 {
		return netip.Addr{}, false
	}
	addr, err := netip.ParseAddr(labels[3] + "." + labels[2] + "." + labels[1] + "." + labels[0])
	return addr, err == nil && addr.Is4()
}
