package launcher

import (
	"errors"
	"net/netip"

	"kvmrun/netplumb"
)

// DefaultSubnet holds the guests unless they are told otherwise.
var DefaultSubnet = netip.MustParsePrefix("10.254.254.0/24")

// defaultMTU is Ethernet's, in bytes, for VMs without an uplink.
const defaultMTU = 1500

// NoUplink is the name by which --uplink asks for none.
const NoUplink = "none"

// findNetwork settles uplink, subnet, gateway and MTU, and checks an address
// that was asked for.
func (d *draft) findNetwork() error {
	for _, step := range []func() error{d.findUplink, d.findSubnet, d.checkSubnet, d.checkAddress} {
		if err := step(); err != nil {
			return err
		}
	}
	d.chooseNameServers()
	return nil
}

// findUplink takes the interface of the default route unless one was named.
func (d *draft) findUplink() (err error) {
	n := &d.spec.Network
	switch n.Uplink {
	case NoUplink:
		n.Uplink = ""
	case "":
		if n.Uplink, err = d.host.DefaultUplink(); err != nil {
			return err
		}
		if n.Uplink == "" {
			d.note("this host has no default route, so there is no uplink: guests reach this host and one another only (choose one by --uplink)")
		}
	}
	d.facts, err = d.host.Facts(n.Uplink, n.Gateway)
	if errors.Is(err, netplumb.ErrNoUplink) {
		return &Error{Kind: KindNetwork, Err: err, Advice: "see ip link, or use --uplink none"}
	}
	n.Uplink = d.facts.Uplink.Name // an interface has other names, too
	if n.MTU == 0 {
		n.MTU = d.facts.Uplink.MTU
	}
	setDefault(&n.MTU, defaultMTU)
	return err
}

// findSubnet settles in which of the two situations the guest is. In a LAN of
// the uplink's it takes that LAN's mask, and this host as its gateway, whatever
// part of the LAN the addresses are chosen from. Otherwise the subnet is
// kvmrun's own and its first address the gateway.
func (d *draft) findSubnet() error {
	n := &d.spec.Network
	if !n.Subnet.IsValid() {
		n.Subnet = DefaultSubnet
		if lan, ok := d.facts.LAN(n.IP); n.IP.IsValid() && ok {
			n.Subnet = lan.Prefix
		}
	}
	if err := netplumb.CheckSubnetPrefix(n.Subnet); err != nil {
		return &Error{Kind: KindAddress, Err: err, Advice: "choose another by --subnet"}
	}
	d.pool = n.Subnet
	gateway := netplumb.DefaultGateway(n.Subnet)
	if lan, ok := d.facts.LAN(n.Subnet.Addr()); ok && lan.Prefix.Bits() <= n.Subnet.Bits() {
		n.Subnet, gateway = lan.Prefix, lan.Host
		if err := d.checkLAN(lan); err != nil {
			return err
		}
	}
	setDefault(&n.Gateway, gateway)
	if !n.Gateway.IsValid() {
		return fail(KindAddress, "choose a larger one by --subnet", "subnet %s has no room for guests and their gateway", n.Subnet)
	}
	return nil
}

// checkLAN keeps guests off addresses that are others' on a LAN: this host
// knows few of its neighbours, so it does not choose among all of them, and those
// that it does know are its routers.
func (d *draft) checkLAN(lan netplumb.LAN) error {
	n := d.spec.Network
	if !n.IP.IsValid() && d.pool == lan.Prefix {
		return fail(KindAddress, "name one by --ip, or a part of the LAN that is yours to give by --subnet",
			"other machines have addresses in %s too, so none is chosen there", lan.Prefix)
	}
	var err error
	d.routers, err = d.host.Routers()
	if d.routers[n.IP] {
		return fail(KindAddress, "choose another by --ip", "%s is a router of this host's", n.IP)
	}
	return err
}

// checkSubnet looks for routes that collide with the guests' addresses. A LAN that
// is the uplink's may have others in it, as long as they are not the guest's.
func (d *draft) checkSubnet() error {
	n := d.spec.Network
	guests := n.Subnet
	if lan, ok := d.facts.LAN(n.Subnet.Addr()); ok && lan.Prefix == n.Subnet {
		guests = d.pool
		if n.IP.IsValid() {
			guests = netip.PrefixFrom(n.IP, n.IP.BitLen())
		}
	}
	return d.host.CheckSubnet(guests, n.Uplink)
}

// checkAddress checks an address that was asked for; another is chosen later.
func (d *draft) checkAddress() error {
	n := d.spec.Network
	if !n.IP.IsValid() {
		return nil
	}
	if err := netplumb.CheckAddress(n.IP, n.Subnet, n.Gateway); err != nil {
		return &Error{Kind: KindAddress, Err: err, Advice: "choose another by --ip, or another subnet by --subnet"}
	}
	return nil
}
