package launcher

import (
	"context"
	"errors"
	"net"

	"kvmrun/launcher/vmdir"
	"kvmrun/netplumb"
	"kvmrun/netplumb/arp"
)

// settleAddress asks the LAN whether somebody has the address that the VM's
// folder was reserved with (RFC 5227, section 2.1). An address that was asked
// for and has a rival is refused; one that kvmrun chose gives way to the next
// free one. The asking takes 0.6 s, in which the reservation keeps this host's
// other starts from the address, and nothing from theirs.
func (l *Launcher) settleAddress(ctx context.Context, d *draft, folder vmdir.New, o StartOptions) error {
	n := &d.spec.Network
	for {
		rival, err := d.probe(ctx, o)
		if rival == nil || err != nil {
			return err
		}
		if d.asked.IP.IsValid() {
			return fail(KindAddress, "choose another with --ip",
				"address %s is used by %s, which answers on %s", n.IP, rival, n.Uplink)
		}
		o.note("address %s is used by %s, which answers on %s: taking the next one", n.IP, rival, n.Uplink)
		d.rivals = append(d.rivals, n.IP)
		if err := l.readdress(ctx, d, folder); err != nil {
			return err
		}
	}
}

// probe returns the MAC of the machine on the LAN that has the address, or nil.
// Only an address of the LAN is one that anybody there may have, and only by
// ARP does this host take it.
func (d *draft) probe(ctx context.Context, o StartOptions) (net.HardwareAddr, error) {
	n := d.spec.Network
	if _, inLAN := d.facts.LAN(n.IP); !inLAN || n.NoProbe || n.ProxyARP == netplumb.ProxyOff {
		return nil, nil
	}
	rival, err := arp.Probe(ctx, n.Uplink, n.IP)
	switch {
	case ctx.Err() != nil:
		return nil, abandoned(ctx, Report{})
	case errors.Is(err, arp.ErrNoARP): // so that nobody can collide by it
		return nil, nil
	case errors.Is(err, arp.ErrDown):
		o.note("%s is down or has no carrier, so nobody there was asked whether %s is free", n.Uplink, n.IP)
		return nil, nil
	}
	return rival, err
}

// readdress moves a reservation to the next address of the pool. If it fails or
// is killed, the folder's own address is leased, and another at most for as long
// as there is the folder.
func (l *Launcher) readdress(ctx context.Context, d *draft, folder vmdir.New) error {
	guard, err := l.root.Lock(ctx)
	if err != nil {
		return err
	}
	defer func() { _ = guard.Close() }()
	n := &d.spec.Network
	before := *n
	n.IP, n.MAC = d.asked.IP, d.asked.MAC
	if err := l.chooseAddress(d); err != nil {
		*n = before
		return err
	}
	err = l.root.Lease(leaseOfIP(n.IP), d.spec.Name)
	if err == nil {
		err = folder.Dir.Write(vmdir.SpecFile, d.spec)
	}
	if err != nil {
		err = errors.Join(err, l.root.Release(leaseOfIP(n.IP), d.spec.Name))
		*n = before
		return err
	}
	return l.root.Release(leaseOfIP(before.IP), d.spec.Name)
}
