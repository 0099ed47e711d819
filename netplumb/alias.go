package netplumb

import (
	"fmt"
	"net/netip"

	"golang.org/x/sys/unix"
)

// aliasResource is the gateway's address on the uplink, shared by all guests
// behind that gateway. Its value is "" while nobody has put it there; otherwise
// it says what it looks like, so that a stranger's is told from ours.
type aliasResource struct {
	uplink string // for people
	index  int
	alias  Alias
	host   *Host
}

func (a aliasResource) String() string {
	return fmt.Sprintf("address %s on %s", a.alias.Address, a.uplink)
}

func (a aliasResource) bind(h *Host) resource {
	a.host = h
	return a
}

func (a aliasResource) key() string { return aliasKey(a.index, a.alias.Address) }

func aliasKey(uplink int, addr netip.Addr) string {
	return uplinkKey(uplink, "address-"+addr.String())
}

func (aliasResource) governor() (string, error) { return "", nil }

func (a Alias) scope() uint8 {
	if a.LinkScope {
		return unix.RT_SCOPE_LINK
	}
	return unix.RT_SCOPE_UNIVERSE
}

func (a aliasResource) want() string {
	return aliasLook(InterfaceAddress{
		Prefix:   netip.PrefixFrom(a.alias.Address, 32),
		Label:    a.alias.Label,
		Scope:    a.alias.scope(),
		Protocol: RouteProtocol,
	})
}

// aliasLook leaves the label out where the mark tells enough: the kernel changes
// it when the interface is renamed.
func aliasLook(a InterfaceAddress) string {
	if a.Protocol == RouteProtocol {
		return fmt.Sprintf("%s scope %d proto %d", a.Prefix, a.Scope, a.Protocol)
	}
	return fmt.Sprintf("%s label %s scope %d proto %d", a.Prefix, a.Label, a.Scope, a.Protocol)
}

// satisfied is content with the address in any look.
func (a aliasResource) satisfied(have string) bool { return have != "" && have != absent }

func (a aliasResource) read() (string, error) {
	all, err := a.host.rtnl.addresses(a.index)
	for _, have := range all {
		if have.Prefix.Addr() == a.alias.Address {
			return aliasLook(have), err
		}
	}
	return "", err
}

// write adds the address, or removes it if value is "".
func (a aliasResource) write(value string) error {
	if value == "" {
		return a.host.rtnl.change(deleteAddress(a.index, a.alias.Address))
	}
	return a.host.rtnl.change(addAlias(a.index, a.alias))
}

// shell marks the address by its metric alone: iproute2 knows IFA_PROTO only
// since 6.3. Whoever puts the address back by this command while guests run
// puts back kvmrun's, which goes with the last of them.
func (a aliasResource) shell() Commands {
	add := fmt.Sprintf("ip address add %s/32 dev %s label %s metric %d", a.alias.Address, a.uplink, a.alias.Label, aliasMetric)
	if a.alias.LinkScope {
		add += " scope link"
	}
	return Commands{
		Do:   []string{add},
		Undo: []string{fmt.Sprintf("ip address delete %s/32 dev %s", a.alias.Address, a.uplink)},
	}
}
