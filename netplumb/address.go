package netplumb

import (
	"encoding/binary"
	"fmt"
	"net/netip"
)

// shortestPrefix is the widest network that counts as a subnet or an overlap.
// Anything wider is a way of saying "everything", like the 0.0.0.0/1 with which
// VPNs override the default route.
const shortestPrefix = 8

// CheckSubnetPrefix says whether a network can hold guests: IPv4, no host bits
// set, at least a /8, and neither loopback, multicast, reserved nor 0.0.0.0/8.
// Errors wrap ErrAddressInvalid.
func CheckSubnetPrefix(subnet netip.Prefix) error {
	switch {
	case !subnet.IsValid() || !subnet.Addr().Is4():
		return fmt.Errorf("%w: subnet %s is no IPv4 network like 10.254.254.0/24", ErrAddressInvalid, subnet)
	case subnet != subnet.Masked():
		return fmt.Errorf("%w: subnet %s has host bits set; did you mean %s?", ErrAddressInvalid, subnet, subnet.Masked())
	case subnet.Bits() < shortestPrefix:
		return fmt.Errorf("%w: subnet %s is wider than a /%d", ErrAddressInvalid, subnet, shortestPrefix)
	case !unicast(subnet.Addr()) && subnet.Addr() != netip.AddrFrom4([4]byte{}):
		return fmt.Errorf("%w: subnet %s is loopback, multicast or reserved", ErrAddressInvalid, subnet)
	case subnet.Addr().As4()[0] == 0:
		return fmt.Errorf("%w: subnet %s means \"this network\" (RFC 1122)", ErrAddressInvalid, subnet)
	}
	return nil
}

// CheckAddress says whether a guest of the subnet behind the gateway may have
// the address. It must lie in the subnet and be neither its network nor its
// broadcast address (which a /31 and a /32 don't have, RFC 3021) nor the
// gateway's. The gateway must lie in the subnet too, unless that is a /32.
// Errors wrap ErrAddressInvalid and say which.
func CheckAddress(addr netip.Addr, subnet netip.Prefix, gateway netip.Addr) error {
	if err := CheckSubnetPrefix(subnet); err != nil {
		return err
	}
	if err := checkHost("gateway", gateway, subnet); err != nil {
		return err
	}
	if err := checkHost("address", addr, subnet); err != nil {
		return err
	}
	switch {
	case !subnet.Contains(addr):
		return fmt.Errorf("%w: address %s is not in subnet %s", ErrAddressInvalid, addr, subnet)
	case addr == gateway:
		return fmt.Errorf("%w: address %s is the gateway's", ErrAddressInvalid, addr)
	case !subnet.Contains(gateway) && !subnet.IsSingleIP():
		return fmt.Errorf("%w: gateway %s is not in subnet %s", ErrAddressInvalid, gateway, subnet)
	}
	return nil
}

// checkHost refuses what no host can be called by.
func checkHost(what string, addr netip.Addr, subnet netip.Prefix) error {
	switch {
	case !addr.Is4() || !unicast(addr):
		return fmt.Errorf("%w: %s %s is no IPv4 address of a host", ErrAddressInvalid, what, addr)
	case subnet.Bits() >= 31:
		return nil
	case addr == subnet.Addr():
		return fmt.Errorf("%w: %s %s is the network address of %s", ErrAddressInvalid, what, addr, subnet)
	case addr == lastAddress(subnet):
		return fmt.Errorf("%w: %s %s is the broadcast address of %s", ErrAddressInvalid, what, addr, subnet)
	}
	return nil
}

// unicast reports whether an IPv4 address can be a host's.
func unicast(a netip.Addr) bool {
	first := a.As4()[0]
	return first != 0 && first < 224 && !a.IsLoopback()
}

// DefaultGateway is the first address of the subnet that a router can have.
// A /32 has room for none: the zero Addr.
func DefaultGateway(subnet netip.Prefix) netip.Addr {
	switch {
	case CheckSubnetPrefix(subnet) != nil || subnet.IsSingleIP():
		return netip.Addr{}
	case subnet.Bits() == 31:
		return subnet.Addr()
	}
	return subnet.Addr().Next()
}

// NextFree returns the lowest address of the subnet that a guest can have and
// inUse does not claim. It asks about one address at a time and stops at the
// first free one. Errors wrap ErrSubnetFull or ErrAddressInvalid.
func NextFree(subnet netip.Prefix, gateway netip.Addr, inUse func(netip.Addr) bool) (netip.Addr, error) {
	if err := CheckSubnetPrefix(subnet); err != nil {
		return netip.Addr{}, err
	}
	first, last := subnet.Addr(), lastAddress(subnet)
	if subnet.Bits() < 31 {
		first, last = first.Next(), last.Prev()
	}
	for a := first; a.Compare(last) <= 0; a = a.Next() {
		if a != gateway && !inUse(a) {
			return a, nil
		}
	}
	return netip.Addr{}, fmt.Errorf("%w %s; choose a larger one with --subnet", ErrSubnetFull, subnet)
}

// lastAddress is the broadcast address of a network that has one.
func lastAddress(p netip.Prefix) netip.Addr {
	b := p.Addr().As4()
	n := binary.BigEndian.Uint32(b[:]) | uint32(1<<(32-p.Bits())-1)
	binary.BigEndian.PutUint32(b[:], n)
	return netip.AddrFrom4(b)
}
