package arp

import (
	"context"
	"net/netip"
	"testing"
	"time"

	"kvmrun/netplumb/internal/nstest"
)

var asker = netip.MustParseAddr("10.254.254.1")

func TestAskFindsTheOwner(t *testing.T) {
	host, peer := lan(t)
	peer.Run(t, "ip addr add 10.254.254.7/24 dev eth0")
	for _, from := range []netip.Addr{asker, {}} {
		host.Do(func() {
			mac, err := Ask(t.Context(), "tap0", guest, from, time.Minute)
			if err != nil || mac.String() != guestMAC.String() {
				t.Errorf("from %s: %v, %v; want %v", from, mac, err, guestMAC)
			}
			mac, err = Ask(t.Context(), "tap0", guest.Next(), from, 10*time.Millisecond)
			if err != nil || mac != nil {
				t.Errorf("of an address that nobody has: %v, %v", mac, err)
			}
		})
	}
}

func TestSweepFindsAnotherAddress(t *testing.T) {
	host, peer := lan(t)
	sweep := func(network string) (found Owner) {
		host.Do(func() {
			var err error
			found, err = Sweep(t.Context(), "tap0", netip.MustParsePrefix(network), asker, time.Second)
			if err != nil {
				t.Error(err)
			}
		})
		return found
	}
	if found := sweep("10.254.254.0/30"); found.MAC != nil {
		t.Errorf("found %+v where nobody is", found)
	}
	peer.Run(t, "ip addr add 10.254.254.251/24 dev eth0")
	for _, network := range []string{"10.254.254.0/24", "10.254.0.0/16"} {
		if found := sweep(network); found.Addr.String() != "10.254.254.251" || found.MAC.String() != guestMAC.String() {
			t.Errorf("in %s: found %+v", network, found)
		}
	}
	if found := sweep("10.254.254.0/25"); found.MAC != nil {
		t.Errorf("found %+v outside of what was asked for", found)
	}
}

func TestAskWhereThereIsNothing(t *testing.T) {
	ns := nstest.New(t)
	ns.Do(func() {
		if _, err := Ask(t.Context(), "tap0", guest, asker, time.Minute); err == nil {
			t.Error("no error without an interface")
		}
		if _, err := Ask(t.Context(), "lo", guest, asker, time.Minute); err == nil {
			t.Error("no error on the loopback")
		}
	})
	host, _ := lan(t)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	host.Do(func() {
		if _, err := Ask(ctx, "tap0", guest, asker, time.Minute); err == nil {
			t.Error("no error after the context's end")
		}
	})
}
