package netplumb

import (
	"fmt"
	"net/netip"

	"golang.org/x/sys/unix"
)

// sharedStep holds something on the uplink that other guests need as well.
type sharedStep struct {
	resource
	holder netip.Addr
}

func (s sharedStep) apply(h *Host, _ int) error {
	return h.holds.acquire(s.bind(h), s.holder.String())
}

func (s sharedStep) undo(h *Host) error {
	return h.holds.release(s.bind(h), s.holder.String())
}

func (s sharedStep) check(h *Host) (want, have string, err error) {
	r := s.bind(h)
	have, err = r.read()
	if have == "" {
		have = absent
	}
	if err == nil && r.satisfied(have) {
		// Somebody else's serves as well.
		return have, have, nil
	}
	return r.want(), have, err
}

// proxyStep makes the host answer ARP for the guest on the uplink. The entry is
// this guest's alone and carries its maker's mark, so it needs no journal.
type proxyStep struct {
	uplink  string // for people
	index   int
	address netip.Addr
}

func (s proxyStep) String() string { return fmt.Sprintf("proxy ARP for %s on %s", s.address, s.uplink) }

// apply leaves an entry that somebody else made as it is: it does the same.
func (s proxyStep) apply(h *Host, _ int) error {
	_, err := h.rtnl.neighbour(s.index, s.address, unix.NTF_PROXY)
	if gone(err) {
		err = h.rtnl.change(addProxy(s.index, s.address))
	}
	return uplinkGone(err)
}

func (s proxyStep) undo(h *Host) error {
	n, err := h.rtnl.neighbour(s.index, s.address, unix.NTF_PROXY)
	if err != nil || n.protocol != RouteProtocol {
		return err
	}
	return h.rtnl.change(deleteProxy(s.index, s.address))
}

func (s proxyStep) check(h *Host) (want, have string, err error) {
	const present = "present"
	_, err = h.rtnl.neighbour(s.index, s.address, unix.NTF_PROXY)
	return present, present, err
}

func (s proxyStep) shell() Commands {
	return Commands{
		Do:   []string{fmt.Sprintf("ip neighbour add proxy %s dev %s nud permanent protocol %d", s.address, s.uplink, RouteProtocol)},
		Undo: []string{fmt.Sprintf("ip neighbour delete proxy %s dev %s", s.address, s.uplink)},
	}
}
