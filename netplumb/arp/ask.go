package arp

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"slices"
	"time"

	"golang.org/x/net/bpf"
)

// askInterval is the time between two questions for the same address.
const askInterval = 200 * time.Millisecond

// Ask asks the interface's LAN who has addr, again and again for as long as
// patience, and returns the MAC of the first who says so; nil if nobody does.
// from is the address that the question names as the asker's; the zero Addr and
// 0.0.0.0 make it a probe, which tells nobody anything.
func Ask(ctx context.Context, ifname string, addr, from netip.Addr, patience time.Duration) (net.HardwareAddr, error) {
	found, err := ask(ctx, ifname, passFrom(addr), from, patience, addr)
	if err != nil {
		return nil, fmt.Errorf("ask for %s by ARP on %s: %w", addr, ifname, err)
	}
	return found.MAC, nil
}

// Owner is who says that an address is theirs.
type Owner struct {
	Addr netip.Addr
	MAC  net.HardwareAddr
}

// sweepBits is the shortest prefix that is swept.
const sweepBits = 24

// Sweep asks for every address of a network at once and returns the first who
// answers, the zero Owner if nobody does. It is for a cable with one machine at its
// end whose address is not known. Of a network larger than a /24 it asks for the
// part in which from lies.
func Sweep(ctx context.Context, ifname string, network netip.Prefix, from netip.Addr, patience time.Duration) (Owner, error) {
	network = netip.PrefixFrom(from, max(network.Bits(), sweepBits)).Masked()
	var all []netip.Addr
	for addr := network.Addr(); network.Contains(addr); addr = addr.Next() {
		if addr != from {
			all = append(all, addr)
		}
	}
	found, err := ask(ctx, ifname, passAll(), from, patience, all...)
	if err != nil {
		return found, fmt.Errorf("ask for all of %s by ARP on %s: %w", network, ifname, err)
	}
	return found, nil
}

// passAll lets through whatever ARP comes in.
func passAll() []bpf.Instruction {
	return []bpf.Instruction{bpf.RetConstant{Val: frameLength}}
}

func ask(ctx context.Context, ifname string, filter []bpf.Instruction, from netip.Addr, patience time.Duration, all ...netip.Addr) (found Owner, err error) {
	s, err := open(ctx, ifname, filter)
	if err != nil {
		return found, err
	}
	defer s.close()
	if !from.IsValid() {
		from = netip.IPv4Unspecified()
	}
	for end := time.Now().Add(patience); time.Now().Before(end); {
		for _, addr := range all {
			if err := s.send(question(s.mac, from, addr)); err != nil && !passing(err) {
				return found, cause(ctx, err)
			}
		}
		found, err = answer(s, all, min(askInterval, time.Until(end)))
		if found.MAC != nil || err != nil {
			return found, cause(ctx, err)
		}
	}
	return found, nil
}

// answer waits for somebody who has one of the addresses.
func answer(s *socket, all []netip.Addr, wait time.Duration) (Owner, error) {
	if err := s.conn.SetReadDeadline(time.Now().Add(wait)); err != nil {
		return Owner{}, err
	}
	buffer := make([]byte, frameLength)
	for {
		p, err := s.receive(buffer)
		switch {
		case errors.Is(err, os.ErrDeadlineExceeded):
			return Owner{}, nil
		case err != nil && !passing(err):
			return Owner{}, err
		case err == nil && slices.Contains(all, p.SenderAddr):
			return Owner{p.SenderAddr, slices.Clone(p.SenderMAC)}, nil
		}
	}
}
