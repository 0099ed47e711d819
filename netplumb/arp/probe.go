package arp

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"net/netip"
	"os"
	"slices"
	"time"

	"golang.org/x/sys/unix"
)

// Timing is how patiently an address is probed.
type Timing struct {
	// Delay is the longest random wait before the first probe.
	Delay time.Duration
	// Probes is how many are sent.
	Probes int
	// Least and Most bound the random wait between two probes.
	Least, Most time.Duration
	// Listen is how long to wait for an answer after the last probe.
	Listen time.Duration
}

var (
	// RFC5227 is the timing of RFC 5227, section 1.1. A free address takes it
	// four to seven seconds; it finds hosts behind radio and sleeping links,
	// and switches whose port has only just come up.
	RFC5227 = Timing{Delay: time.Second, Probes: 3, Least: time.Second, Most: 2 * time.Second, Listen: 2 * time.Second}
	// Quick suits a wired LAN that the interface has been on for a while,
	// where answers take milliseconds. A free address takes it 0.6 seconds.
	Quick = Timing{Probes: 3, Least: 200 * time.Millisecond, Most: 200 * time.Millisecond, Listen: 200 * time.Millisecond}
)

// Probe probes addr with the timing Quick.
func Probe(ctx context.Context, ifname string, addr netip.Addr) (rival net.HardwareAddr, err error) {
	return Quick.Probe(ctx, ifname, addr)
}

// Probe asks the interface's LAN whether anybody uses addr, without changing
// anybody's cache. It returns the MAC of the first who does, or is about to,
// at once; nil where all is silent to the end. Errors wrap ErrDown if the
// interface is down or has no carrier to begin with, and ErrNoARP if it is no
// Ethernet.
//
// Anything that speaks for addr is a rival, also a router that answers for
// every address by proxy ARP.
func (t Timing) Probe(ctx context.Context, ifname string, addr netip.Addr) (rival net.HardwareAddr, err error) {
	if err := usable(addr); err != nil {
		return nil, fmt.Errorf("probe by ARP on %s: %w", ifname, err)
	}
	s, err := open(ctx, ifname, passAbout(addr))
	if err != nil {
		return nil, fmt.Errorf("probe %s by ARP: %w", addr, err)
	}
	defer s.close()
	if !s.running {
		return nil, fmt.Errorf("probe %s by ARP on %s: %w", addr, ifname, ErrDown)
	}
	rival, err = t.probe(s, addr)
	if errors.Is(err, unix.ENETDOWN) {
		err = ErrDown
	}
	if err != nil {
		return nil, fmt.Errorf("probe %s by ARP on %s: %w", addr, ifname, cause(ctx, err))
	}
	return rival, nil
}

func (t Timing) probe(s *socket, addr netip.Addr) (net.HardwareAddr, error) {
	probe := question(s.mac, netip.IPv4Unspecified(), addr)
	wait := upTo(t.Delay)
	for sent := 0; ; sent++ {
		rival, err := listen(s, addr, wait)
		if rival != nil || err != nil || sent == t.Probes {
			return rival, err
		}
		if err := s.send(probe); err != nil {
			return nil, err
		}
		wait = t.Listen
		if sent+1 < t.Probes {
			wait = t.Least + upTo(t.Most-t.Least)
		}
	}
}

// listen waits for a rival; it returns nil if there is none until wait is over.
func listen(s *socket, addr netip.Addr, wait time.Duration) (net.HardwareAddr, error) {
	if err := s.conn.SetReadDeadline(time.Now().Add(wait)); err != nil {
		return nil, err
	}
	buffer := make([]byte, frameLength)
	for {
		p, err := s.receive(buffer)
		switch {
		case errors.Is(err, os.ErrDeadlineExceeded):
			return nil, nil
		case err != nil:
			return nil, err
		case conflicts(p, s.mac, addr):
			return slices.Clone(p.SenderMAC), nil
		}
	}
}

// conflicts tells whether p is from somebody else who uses addr or probes it
// at this moment too (RFC 5227, section 2.1.1).
func conflicts(p Packet, own net.HardwareAddr, addr netip.Addr) bool {
	if bytes.Equal(p.SenderMAC, own) {
		return false
	}
	probing := p.Op == Request && p.SenderAddr.IsUnspecified() && p.TargetAddr == addr
	return p.SenderAddr == addr || probing
}

func upTo(most time.Duration) time.Duration {
	if most <= 0 {
		return 0
	}
	return rand.N(most)
}
