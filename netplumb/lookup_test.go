package netplumb

import (
	"errors"
	"net/netip"
	"strings"
	"testing"
)

func TestDefaultRoute(t *testing.T) {
	if !ownNamespace(t) {
		return
	}
	l := newLab(t)
	check := func(wantInterface, wantRouter string) {
		t.Helper()
		d, ok, err := l.DefaultRoute()
		if err != nil || ok != (wantInterface != "") {
			t.Errorf("ok %t, error %v", ok, err)
		}
		if router := d.Router.String(); d.Interface != wantInterface || router != wantRouter {
			t.Errorf("default by %s via %s, want %s via %s", d.Interface, router, wantInterface, wantRouter)
		}
		if uplink, err := l.DefaultUplink(); uplink != wantInterface || err != nil {
			t.Errorf("DefaultUplink %q, %v", uplink, err)
		}
	}
	check("eth0", "192.168.1.1")
	l.sh("ip route replace default via 192.168.1.1 metric 100; ip route delete default metric 0; ip route add default dev lan0 metric 50")
	check("lan0", "invalid IP")
	l.sh("ip route add default metric 10 nexthop via 192.168.1.7 dev eth0 nexthop via 192.168.1.8 dev eth0")
	check("eth0", "192.168.1.7")
	l.sh("ip route flush table main; ip route add unreachable default; ip route add 0.0.0.0/1 dev eth0")
	check("", "invalid IP")
}

func TestFacts(t *testing.T) {
	if !ownNamespace(t) {
		return
	}
	l := newLab(t)
	gateway := netip.MustParseAddr("10.254.254.1")
	gatewayIs := func(want GatewayFacts) {
		t.Helper()
		f, err := l.Facts("eth0", gateway)
		if err != nil {
			t.Fatal(err)
		}
		if f.Gateway != want {
			t.Errorf("gateway %+v, want %+v", f.Gateway, want)
		}
	}
	f, err := l.Facts("eth0", gateway)
	if err != nil || f.Uplink.MTU != 1500 || len(f.Uplink.Addresses) != 1 || f.Uplink.Addresses[0].Prefix.String() != "192.168.1.10/24" {
		t.Errorf("%+v, %v", f, err)
	}
	if _, err := l.Facts("eth9", gateway); !errors.Is(err, ErrNoUplink) {
		t.Errorf("missing uplink: %v", err)
	}
	if f, err := l.Facts("", netip.Addr{}); err != nil || f.Uplink.Name != "" {
		t.Errorf("nothing asked: %+v, %v", f, err)
	}
	gatewayIs(GatewayFacts{})
	c := subnetConfig()
	c.Uplink = ""
	onTap := l.apply(l.plan(c))
	gatewayIs(GatewayFacts{Interface: "kvm-web", Ours: true})
	closeAll(onTap)
	p := l.plan(subnetConfig())
	onUplink := l.apply(p)
	gatewayIs(GatewayFacts{Interface: "eth0", Ours: true, Label: "eth0:0"})
	closeAll(onUplink)
	l.undo(p)
	l.sh("ip address add 10.254.254.1/24 dev lan0")
	gatewayIs(GatewayFacts{Interface: "lan0"})
	l.sh("ip address add 10.254.254.1/32 dev eth0")
	gatewayIs(GatewayFacts{Interface: "eth0", Label: "eth0"})
}

func TestCheckAddressFree(t *testing.T) {
	if !ownNamespace(t) {
		return
	}
	l := newLab(t)
	l.apply(l.plan(subnetConfig()))
	l.sh("ip route add 10.7.7.7/32 dev lan0; ip route add 10.8.0.0/16 dev lan0; ip route add blackhole 10.9.0.0/16; ip route add unreachable 10.10.0.0/16; ip route add prohibit 10.11.0.0/16")
	for addr, want := range map[string]error{
		"192.168.1.10":  ErrAddressOnHost,
		"192.168.1.255": ErrAddressInvalid,
		"10.254.254.1":  ErrAddressOnHost,
		"127.0.0.1":     ErrAddressOnHost,
		"10.254.254.2":  ErrAddressRouted,
		"10.7.7.7":      ErrAddressRouted,
		"10.254.254.3":  nil,
		"192.168.1.50":  nil,
		"10.8.1.1":      nil,
		"10.9.1.1":      nil,
		"10.10.1.1":     nil,
		"10.11.1.1":     nil,
	} {
		if err := l.CheckAddressFree(netip.MustParseAddr(addr)); !errors.Is(err, want) {
			t.Errorf("%s: %v, want %v", addr, err, want)
		}
	}
	l.sh("ip route delete default")
	if err := l.CheckAddressFree(netip.MustParseAddr("10.99.0.1")); err != nil {
		t.Errorf("without any route: %v", err)
	}
}

func TestCheckSubnet(t *testing.T) {
	if !ownNamespace(t) {
		return
	}
	l := newLab(t)
	l.apply(l.plan(subnetConfig()))
	l.sh(`ip route add 10.20.0.0/16 via 192.168.1.5
ip route add blackhole 10.30.0.0/24
ip route add 10.40.0.0/24 dev lan0 table 77
ip route add 0.0.0.0/1 dev lan0
ip route add 192.168.1.1/32 dev eth0
ip route add 192.168.1.128/25 dev lan0
ip address add 172.16.0.10/16 dev eth0
ip route add 172.16.0.1/32 dev eth0
ip route add 172.16.0.0/12 dev lan0`)
	for _, c := range []struct{ subnet, uplink, route string }{
		{"10.254.254.0/24", "eth0", ""},
		{"10.21.0.0/24", "eth0", ""},
		{"10.20.5.0/24", "eth0", "10.20.0.0/16 via 192.168.1.5 dev eth0"},
		{"10.0.0.0/11", "eth0", "10.20.0.0/16 via 192.168.1.5 dev eth0"},
		{"10.30.0.0/16", "eth0", "blackhole 10.30.0.0/24"},
		{"10.40.0.0/24", "eth0", "10.40.0.0/24 dev lan0 table 77"},
		{"172.16.0.0/16", "eth0", ""},
		{"172.16.0.0/16", "", "172.16.0.0/"},
		{"192.168.1.0/24", "eth0", "192.168.1.128/25 dev lan0"},
		{"192.168.1.0/24", "lan0", "192.168.1.0/24 dev eth0"},
	} {
		err := l.CheckSubnet(netip.MustParsePrefix(c.subnet), c.uplink)
		switch {
		case c.route == "" && err != nil:
			t.Errorf("%s: %v", c.subnet, err)
		case c.route != "" && (!errors.Is(err, ErrSubnetOverlap) || !strings.Contains(err.Error(), c.route)):
			t.Errorf("%s: %v, want the route %s", c.subnet, err, c.route)
		}
	}
	if err := l.CheckSubnet(netip.MustParsePrefix("10.0.0.0/24"), "eth9"); !errors.Is(err, ErrNoUplink) {
		t.Errorf("missing uplink: %v", err)
	}
}

// A host that never had an address has no routing table at all.
func TestHostWithoutRoutes(t *testing.T) {
	if !ownNamespace(t) {
		return
	}
	h, err := OpenHost(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = h.Close() }()
	if d, ok, err := h.DefaultRoute(); ok || err != nil {
		t.Errorf("the default route is %+v, %v, %v", d, ok, err)
	}
	if err := h.CheckSubnet(netip.MustParsePrefix("10.254.254.0/24"), ""); err != nil {
		t.Error(err)
	}
}
