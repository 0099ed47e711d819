package arp

import (
	"context"
	"fmt"
	"net/netip"
	"time"
)

// AnnounceInterval is the time after which RFC 5227, section 2.3, wants an
// announcement repeated once. That is for whoever calls Announce.
const AnnounceInterval = 2 * time.Second

// Announce tells everybody on the interface's LAN that addrs are to be found
// at the interface's MAC, so that caches which hold another are corrected.
// It sends and returns, without waiting for anything; the interface must be up.
func Announce(ctx context.Context, ifname string, addrs ...netip.Addr) error {
	s, err := open(ctx, ifname, passNothing())
	if err != nil {
		return fmt.Errorf("announce by ARP: %w", err)
	}
	defer s.close()
	for _, addr := range addrs {
		if err := usable(addr); err != nil {
			return fmt.Errorf("announce by ARP on %s: %w", ifname, err)
		}
		for _, p := range announcements(s.mac, addr) {
			if err := s.send(p); err != nil {
				return fmt.Errorf("announce %s by ARP on %s: %w", addr, ifname, cause(ctx, err))
			}
		}
	}
	return nil
}

// cause is the context's end where that is what closed the socket.
func cause(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	return err
}
