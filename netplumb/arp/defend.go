package arp

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"time"

	"kvmrun/netplumb/internal/rawsock"
)

// DefendInterval is how long a defence must be silent after it has announced
// its address against a rival (RFC 5227, sections 1.1 and 2.4).
const DefendInterval = 10 * time.Second

// heard bounds what a LAN may have a defence do: a newcomer's few probes and a
// rival's traffic stay far below it.
var heard = rawsock.Rate{PerSecond: 20, Burst: 20}

// defendBuffer bounds what the kernel keeps for a defence, in bytes.
const defendBuffer = 16 << 10

// Defend looks after addr on the interface's LAN, where the host answers for it
// by proxy ARP: the kernel answers whoever asks for it there, but not a
// newcomer's probe, and lets whoever claims it have it. Defend answers the
// probes, tells claimed the MAC of whoever says to have addr, each time it is
// said, and then announces addr, at most once in DefendInterval. It never gives
// the address up (RFC 5227, section 2.4, case (c)).
//
// claimed is called from Defend's goroutine, which hears nothing until it
// returns. More than 20 packets a second are left unheard. The interface may go
// down and up and change its MAC meanwhile. Defend ends when ctx does, then with
// its cause, or when the interface is gone, then with ErrGone; it may be called
// again when there is another of that name. It needs the interface to be there.
func Defend(ctx context.Context, ifname string, addr netip.Addr, claimed func(rival net.HardwareAddr)) error {
	if err := usable(addr); err != nil {
		return fmt.Errorf("defend by ARP on %s: %w", ifname, err)
	}
	s, err := open(ctx, ifname, passClaims(addr))
	if err != nil {
		return fmt.Errorf("defend %s: %w", addr, err)
	}
	defer s.close()
	d := defence{socket: s, addr: addr, claimed: claimed, interval: DefendInterval}
	return fmt.Errorf("defend %s on %s: %w", addr, ifname, cause(ctx, d.run(ctx)))
}

// defence is one address that is looked after on one interface.
type defence struct {
	socket   *socket
	addr     netip.Addr
	claimed  func(rival net.HardwareAddr)
	interval time.Duration

	announced time.Time // against a rival; zero before
}

// run hears the LAN until the socket is closed or the interface gone.
func (d *defence) run(ctx context.Context) error {
	reader, err := rawsock.NewReader(d.socket.conn, defendBuffer, heard)
	if err != nil {
		return err
	}
	buffer := make([]byte, frameLength)
	for {
		n, err := reader.Read(ctx, buffer)
		if err != nil {
			return err
		}
		p, err := Parse(buffer[:n])
		if err != nil {
			continue
		}
		// Asked anew each time: a host whose MAC was changed is no rival to
		// itself.
		own, err := reader.MAC()
		if err != nil {
			return err
		}
		if err := d.handle(p, own); err != nil && !passing(err) {
			return err
		}
	}
}

// handle tells a claim from a probe, and both from what the host itself says.
func (d *defence) handle(p Packet, own net.HardwareAddr) error {
	switch {
	case !conflicts(p, own, d.addr):
		return nil
	case p.SenderAddr != d.addr:
		return d.socket.send(refusal(p, own, d.addr))
	}
	d.claimed(slices.Clone(p.SenderMAC))
	if !d.announced.IsZero() && time.Since(d.announced) < d.interval {
		return nil
	}
	d.announced = time.Now()
	// One packet, as the RFC wants it here, and not the two of Announce.
	return d.socket.send(question(own, d.addr, d.addr))
}

// refusal answers a probe for addr: it is taken.
func refusal(probe Packet, own net.HardwareAddr, addr netip.Addr) Packet {
	return Packet{
		Destination: probe.SenderMAC, Source: own,
		Op:        Reply,
		SenderMAC: own, SenderAddr: addr,
		TargetMAC: probe.SenderMAC, TargetAddr: probe.SenderAddr,
	}
}
