package netplumb

import (
	"encoding/binary"
	"fmt"
	"net/netip"

	"golang.org/x/sys/unix"
)

// Kinds of what bears kvmrun's marks.
const (
	MarkedTap   = "tap"
	MarkedProxy = "proxy entry"
	MarkedAlias = "alias"
)

// Marked is something in the kernel that bears kvmrun's marks: a tap its link
// group, a proxy entry its protocol number, an alias its metric. Anybody can make
// such a thing, so marks alone do not say that kvmrun did.
type Marked struct {
	Kind      string
	Interface string // the tap itself, or what the entry or alias is on
	// Address is the entry's or the alias's; the zero Addr for a tap.
	Address netip.Addr
	// Alias is a tap's IFLA_ALIAS, which says whose it is.
	Alias string

	index int
}

// String says what it is, on what.
func (m Marked) String() string {
	if m.Kind == MarkedTap {
		return m.Kind + " " + m.Interface
	}
	return fmt.Sprintf("%s %s on %s", m.Kind, m.Address, m.Interface)
}

// Marked lists what bears kvmrun's marks, whoever made it. It asks for all links,
// addresses and proxy entries there are.
func (h *Host) Marked() ([]Marked, error) {
	links := map[int]link{}
	err := h.rtnl.links(func(l link) { links[l.index] = l })
	if err != nil {
		return nil, fmt.Errorf("list interfaces: %w", err)
	}
	var found []Marked
	for _, l := range links {
		if l.group == LinkGroup {
			found = append(found, Marked{Kind: MarkedTap, Interface: l.name, Alias: l.alias, index: l.index})
		}
	}
	err = h.rtnl.proxies(func(index int, addr netip.Addr, protocol uint8) {
		if protocol == RouteProtocol {
			found = append(found, Marked{Kind: MarkedProxy, Interface: links[index].name, Address: addr, index: index})
		}
	})
	if err != nil {
		return nil, fmt.Errorf("list proxy entries: %w", err)
	}
	for _, l := range links {
		addresses, err := h.rtnl.addresses(l.index)
		if err != nil && !gone(err) {
			return nil, fmt.Errorf("list addresses of %s: %w", l.name, err)
		}
		for _, a := range addresses {
			if a.Protocol == RouteProtocol {
				found = append(found, Marked{Kind: MarkedAlias, Interface: l.name, Address: a.Prefix.Addr(), index: l.index})
			}
		}
	}
	return found, nil
}

// Recorded tells whether an alias is one that the journal knows of.
func (h *Host) Recorded(m Marked) (bool, error) {
	return h.holds.made(aliasKey(m.index, m.Address))
}

// Remove takes it away, whoever made it. What is gone already is no failure.
func (h *Host) Remove(m Marked) error {
	request := deleteLink(m.index)
	switch m.Kind {
	case MarkedProxy:
		request = deleteProxy(m.index, m.Address)
	case MarkedAlias:
		request = deleteAddress(m.index, m.Address)
	}
	if err := h.rtnl.change(request); err != nil && !gone(err) {
		return fmt.Errorf("remove %s: %w", m, permission(err))
	}
	return nil
}

// proxies lists the proxy entries of all interfaces.
func (r *rtnl) proxies(each func(index int, addr netip.Addr, protocol uint8)) error {
	return r.query(newMessage(unix.RTM_GETNEIGH, unix.NLM_F_DUMP, ndmsg(0, 0, unix.NTF_PROXY)), func(body []byte) {
		if len(body) < sizeofNdmsg {
			return
		}
		for typ, data := range attributes(body[sizeofNdmsg:]) {
			if addr, ok := netip.AddrFromSlice(data); ok && typ == unix.NDA_DST {
				each(int(binary.NativeEndian.Uint32(body[4:])), addr, parseNeighbour(body).protocol)
			}
		}
	})
}
