package netplumb

import (
	"encoding/json"
	"errors"
	"net/netip"
	"testing"
)

func TestMAC(t *testing.T) {
	mac := MACFor(netip.MustParseAddr("10.254.254.2"))
	if got := mac.String(); got != "52:54:0a:fe:fe:02" {
		t.Errorf("MACFor = %s", got)
	}
	if got := mac.HardwareAddr().String(); got != mac.String() {
		t.Errorf("HardwareAddr = %s", got)
	}
	text, err := json.Marshal(mac)
	if err != nil || string(text) != `"52:54:0a:fe:fe:02"` {
		t.Errorf("JSON %s, %v", text, err)
	}
	var back MAC
	if err := json.Unmarshal(text, &back); err != nil || back != mac {
		t.Errorf("read back %s, %v", back, err)
	}
	for _, bad := range []string{"", "52:54", "53:54:0a:fe:fe:02", "00:00:00:00:00:00", "ff:ff:ff:ff:ff:ff", "02:00:5e:10:00:00:00:01", "zz:54:0a:fe:fe:02"} {
		if _, err := ParseMAC(bad); !errors.Is(err, ErrAddressInvalid) {
			t.Errorf("ParseMAC(%q): %v", bad, err)
		}
	}
}

func TestCheckAddress(t *testing.T) {
	for _, c := range []struct {
		addr, subnet, gateway string
		ok                    bool
	}{
		{"10.254.254.2", "10.254.254.0/24", "10.254.254.1", true},
		{"10.254.254.254", "10.254.254.0/24", "10.254.254.1", true},
		{"10.0.255.255", "10.0.0.0/8", "10.0.0.1", true},
		{"10.1.1.1", "10.1.1.0/31", "10.1.1.0", true},
		{"10.1.1.0", "10.1.1.0/31", "10.1.1.1", true},
		{"10.1.1.1", "10.1.1.1/32", "192.168.1.1", true},
		{"10.254.254.0", "10.254.254.0/24", "10.254.254.1", false},        // network
		{"10.254.254.255", "10.254.254.0/24", "10.254.254.1", false},      // broadcast
		{"10.254.254.1", "10.254.254.0/24", "10.254.254.1", false},        // gateway
		{"10.254.253.2", "10.254.254.0/24", "10.254.254.1", false},        // outside
		{"10.254.254.2", "10.254.254.0/24", "10.254.253.1", false},        // gateway outside
		{"10.254.254.2", "10.254.254.0/24", "10.254.254.0", false},        // gateway is network
		{"10.254.254.2", "10.254.254.0/24", "10.254.254.255", false},      // gateway is broadcast
		{"10.254.254.2", "10.254.254.9/24", "10.254.254.1", false},        // host bits
		{"10.1.1.1", "10.1.1.1/32", "10.1.1.1", false},                    // gateway
		{"fd00::2", "10.254.254.0/24", "10.254.254.1", false},             // IPv6
		{"::ffff:10.254.254.2", "10.254.254.0/24", "10.254.254.1", false}, // mapped
		{"fd00::2", "fd00::/64", "fd00::1", false},                        // IPv6
		{"127.0.0.2", "127.0.0.0/24", "127.0.0.1", false},                 // loopback
		{"224.0.0.2", "224.0.0.0/24", "224.0.0.1", false},                 // multicast
		{"0.0.0.2", "0.0.0.0/24", "0.0.0.1", false},                       // this network
		{"8.8.8.8", "0.0.0.0/0", "8.8.8.1", false},                        // everything
		{"255.255.255.255", "255.255.255.255/32", "10.0.0.1", false},      // limited broadcast
		{"10.0.0.2", "10.0.0.0/24", "0.0.0.0", false},                     // no gateway
	} {
		err := CheckAddress(netip.MustParseAddr(c.addr), netip.MustParsePrefix(c.subnet), netip.MustParseAddr(c.gateway))
		if c.ok && err != nil || !c.ok && !errors.Is(err, ErrAddressInvalid) {
			t.Errorf("CheckAddress(%s, %s, %s): %v", c.addr, c.subnet, c.gateway, err)
		}
	}
	if err := CheckAddress(netip.Addr{}, netip.Prefix{}, netip.Addr{}); !errors.Is(err, ErrAddressInvalid) {
		t.Errorf("zero values: %v", err)
	}
	if err := CheckAddress(netip.Addr{}, netip.MustParsePrefix("10.0.0.0/24"), netip.MustParseAddr("10.0.0.1")); !errors.Is(err, ErrAddressInvalid) {
		t.Errorf("no address: %v", err)
	}
}

func TestNextFree(t *testing.T) {
	for _, c := range []struct {
		subnet, gateway string
		used            int // that many addresses asked about are in use
		want            string
	}{
		{"10.254.254.0/24", "10.254.254.1", 0, "10.254.254.2"},
		{"10.254.254.0/24", "10.254.254.1", 5, "10.254.254.7"},
		{"10.254.254.0/24", "10.254.254.3", 2, "10.254.254.4"},
		{"10.254.254.0/24", "10.254.254.1", 252, "10.254.254.254"},
		{"10.254.254.0/24", "10.254.254.1", 253, ""},
		{"10.254.252.0/22", "10.254.252.1", 254, "10.254.253.0"}, // no boundary in the middle
		{"10.0.0.0/8", "10.0.0.1", 65536, "10.1.0.2"},
		{"10.1.1.0/30", "10.1.1.1", 0, "10.1.1.2"},
		{"10.1.1.0/30", "10.1.1.1", 1, ""},
		{"10.1.1.0/31", "10.1.1.0", 0, "10.1.1.1"},
		{"10.1.1.0/31", "10.1.1.0", 1, ""},
		{"10.1.1.1/32", "192.168.1.1", 0, "10.1.1.1"},
		{"10.1.1.1/32", "10.1.1.1", 0, ""},
	} {
		asked := 0
		got, err := NextFree(netip.MustParsePrefix(c.subnet), netip.MustParseAddr(c.gateway), func(netip.Addr) bool {
			asked++
			return asked <= c.used
		})
		switch {
		case c.want == "" && !errors.Is(err, ErrSubnetFull):
			t.Errorf("%s with %d used: %s, %v; want it full", c.subnet, c.used, got, err)
		case c.want != "" && (err != nil || got.String() != c.want):
			t.Errorf("%s with %d used: %s, %v; want %s", c.subnet, c.used, got, err, c.want)
		}
	}
	if _, err := NextFree(netip.Prefix{}, netip.Addr{}, nil); !errors.Is(err, ErrAddressInvalid) {
		t.Errorf("zero values: %v", err)
	}
}

func TestDefaultGateway(t *testing.T) {
	for subnet, want := range map[string]string{
		"10.254.254.0/24": "10.254.254.1", "10.1.1.0/31": "10.1.1.0", "10.1.1.1/32": "invalid IP", "fd00::/64": "invalid IP",
	} {
		if got := DefaultGateway(netip.MustParsePrefix(subnet)).String(); got != want {
			t.Errorf("%s: %s, want %s", subnet, got, want)
		}
	}
}
