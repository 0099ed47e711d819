package netplumb

import (
	"errors"
	"fmt"
	"net/netip"

	"golang.org/x/sys/unix"
)

// Host is the network namespace in which it was opened, with the folder in
// which changes shared by several guests are journalled. Use it only from
// threads of that namespace: /proc/sys/net and /dev/net/tun follow the thread.
// Safe for concurrent use.
type Host struct {
	rtnl  *rtnl
	holds holds
}

// OpenHost opens the calling thread's network namespace. The folder is made
// when a change that several share is first written down, readable by its owner
// alone; it must belong to this namespace alone and should not outlive the
// kernel (a tmpfs like /run). Close the Host when done.
func OpenHost(dir string) (*Host, error) {
	r, err := openRTNL()
	if err != nil {
		return nil, err
	}
	return &Host{rtnl: r, holds: holds{dir}}, nil
}

// Close releases the handle. It undoes nothing.
func (h *Host) Close() error { return h.rtnl.close() }

// Facts reads what NewPlan needs. uplink may be an alternative name of the
// interface's, and "" for none; gateway may be the
// zero Addr while it is not known yet. It takes no longer when there are many
// taps. Errors wrap ErrNoUplink if there is no such interface.
func (h *Host) Facts(uplink string, gateway netip.Addr) (Facts, error) {
	if uplink == "" {
		return h.factsAbout(link{}, gateway)
	}
	l, err := h.uplink(uplink)
	if err != nil {
		return Facts{}, err
	}
	return h.factsAbout(l, gateway)
}

// factsAbout is Facts for an uplink that has been looked up; the zero link for
// none.
func (h *Host) factsAbout(uplink link, gateway netip.Addr) (f Facts, err error) {
	if uplink.index != 0 {
		f.Uplink = Uplink{Name: uplink.name, Index: uplink.index, MTU: uplink.mtu}
		if f.Uplink.Addresses, err = h.rtnl.addresses(uplink.index); err != nil {
			return f, fmt.Errorf("list addresses of %s: %w", uplink.name, err)
		}
	}
	if gateway.IsValid() {
		f.Gateway, err = h.gateway(gateway, f.Uplink)
	}
	return f, err
}

// uplink looks an uplink up.
func (h *Host) uplink(name string) (link, error) {
	if err := checkName("uplink", name); err != nil {
		return link{}, fmt.Errorf("%w: %w", ErrNoUplink, err)
	}
	l, err := h.rtnl.linkByName(name)
	if gone(err) {
		return l, fmt.Errorf("%w: %s: %w; name another with --uplink", ErrNoUplink, name, err)
	}
	if err != nil {
		return l, fmt.Errorf("look up uplink %s: %w", name, err)
	}
	if l.loop || l.group == LinkGroup {
		return l, fmt.Errorf("%w: %s leads to no LAN: it is the loopback or a guest's tap; name another with --uplink", ErrNoUplink, name)
	}
	return l, nil
}

// gateway finds out who has an address. An alias on the uplink counts first:
// it is what a plan may have to share.
func (h *Host) gateway(addr netip.Addr, uplink Uplink) (GatewayFacts, error) {
	for _, a := range uplink.Addresses {
		if a.Prefix.Addr() != addr {
			continue
		}
		ours, err := h.holds.made(aliasKey(uplink.Index, addr))
		return GatewayFacts{Interface: uplink.Name, Ours: ours && a.Prefix.IsSingleIP(), Label: a.Label}, err
	}
	name, group, err := h.owner(addr)
	return GatewayFacts{Interface: name, Ours: name != "" && group == LinkGroup}, err
}

// owner returns the interface that has an address of this host, and its link
// group; "" if none has.
func (h *Host) owner(addr netip.Addr) (name string, group uint32, err error) {
	for {
		rt, err := h.rtnl.routeTo(addr)
		if err != nil || rt.kind != unix.RTN_LOCAL {
			return "", 0, unrouted(err)
		}
		name, group, err = h.linkName(rt.oif)
		// A tap that went in between had the address; the next one may too.
		if !gone(err) {
			return name, group, err
		}
	}
}

// linkName returns an interface's name and link group.
func (h *Host) linkName(index int) (string, uint32, error) {
	l, err := h.rtnl.linkByIndex(index)
	if err != nil {
		return "", 0, fmt.Errorf("look up interface %d: %w", index, err)
	}
	return l.name, l.group, nil
}

// unrouted takes the answers by which a look-up says that no route leads there
// for no failure: none at all, or one that refuses.
func unrouted(err error) error {
	for _, errno := range []unix.Errno{unix.ENETUNREACH, unix.EHOSTUNREACH, unix.EACCES, unix.EINVAL} {
		if errors.Is(err, errno) {
			return nil
		}
	}
	return err
}
