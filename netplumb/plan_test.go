package netplumb

import (
	"encoding/json"
	"errors"
	"net/netip"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
)

// eth0Facts is a host at 192.168.1.10/24 whose uplink also has other addresses.
func eth0Facts(more ...InterfaceAddress) Facts {
	addresses := []InterfaceAddress{{Prefix: netip.MustParsePrefix("192.168.1.10/24"), Label: "eth0"}}
	return Facts{Uplink: Uplink{Name: "eth0", Index: 3, MTU: 1500, Addresses: append(addresses, more...)}}
}

func TestNewPlanDecides(t *testing.T) {
	labelled := func(prefix, label string) InterfaceAddress {
		return InterfaceAddress{Prefix: netip.MustParsePrefix(prefix), Label: label}
	}
	onHost := func(f Facts, g GatewayFacts) Facts { f.Gateway = g; return f }
	longUplink := eth0Facts()
	longUplink.Uplink.Name = "enp129s0f1npx"
	longUplink13 := subnetConfig()
	longUplink13.Uplink = "enp129s0f1npx"
	longer := eth0Facts()
	longer.Uplink.Name = "enp129s0f1npxy"
	longUplink14 := subnetConfig()
	longUplink14.Uplink = "enp129s0f1npxy"
	bare := eth0Facts()
	bare.Uplink.Addresses = nil
	none := subnetConfig()
	none.Uplink = ""

	for _, c := range []struct {
		name       string
		cfg        Config
		facts      Facts
		tapAddress string
		lan        string
		alias      string // label; "" for none
		linkScope  bool
	}{
		{"subnet", subnetConfig(), eth0Facts(), "10.254.254.1", "", "eth0:0", false},
		{"second label", subnetConfig(), eth0Facts(labelled("10.9.9.1/32", "eth0:0")), "10.254.254.1", "", "eth0:1", false},
		{"hole in labels", subnetConfig(), eth0Facts(labelled("10.9.9.1/32", "eth0:1")), "10.254.254.1", "", "eth0:0", false},
		{"own alias is shared", subnetConfig(), onHost(eth0Facts(labelled("10.254.254.1/32", "eth0:7")), GatewayFacts{Interface: "eth0", Ours: true, Label: "eth0:7"}), "10.254.254.1", "", "eth0:7", false},
		{"own tap has the gateway", subnetConfig(), onHost(eth0Facts(), GatewayFacts{Interface: "kvm-a", Ours: true}), "10.254.254.1", "", "eth0:0", false},
		{"another has the gateway", subnetConfig(), onHost(eth0Facts(), GatewayFacts{Interface: "br0"}), "10.254.254.1", "", "", false},
		{"another's alias", subnetConfig(), onHost(eth0Facts(labelled("10.254.254.1/32", "eth0:0")), GatewayFacts{Interface: "eth0", Label: "eth0:0"}), "10.254.254.1", "", "", false},
		{"label just fits", longUplink13, longUplink, "10.254.254.1", "", "enp129s0f1npx:0", false},
		{"label too long", longUplink14, longer, "10.254.254.1", "", "enp129s0f1npxy", false},
		{"uplink without address", subnetConfig(), bare, "10.254.254.1", "", "eth0:0", true},
		{"no uplink", none, Facts{}, "10.254.254.1", "", "", false},
		{"lan", lanConfig(), eth0Facts(), "192.168.1.10", "192.168.1.0/24", "", false},
		{"narrowest lan", lanConfig(), eth0Facts(labelled("192.168.1.60/27", "eth0")), "192.168.1.60", "192.168.1.32/27", "", false},
	} {
		p, err := NewPlan(c.cfg, c.facts)
		if err != nil {
			t.Errorf("%s: %v", c.name, err)
			continue
		}
		lan, alias, linkScope := "", "", false
		if p.LAN != nil {
			lan = p.LAN.Prefix.String()
		}
		if p.Alias != nil {
			alias, linkScope = p.Alias.Label, p.Alias.LinkScope
		}
		if p.TapAddress.String() != c.tapAddress || lan != c.lan || alias != c.alias || linkScope != c.linkScope {
			t.Errorf("%s: tap %s, LAN %q, alias %q, link scope %t", c.name, p.TapAddress, lan, alias, linkScope)
		}
	}
}

func TestNewPlanRefuses(t *testing.T) {
	for _, c := range []struct {
		name   string
		change func(*Config)
		want   error
	}{
		{"host's address", func(c *Config) { *c = lanConfig(); c.Address = netip.MustParseAddr("192.168.1.10") }, ErrAddressOnHost},
		{"outside", func(c *Config) { c.Address = netip.MustParseAddr("10.9.9.9") }, ErrAddressInvalid},
		{"no address", func(c *Config) { c.Address = netip.Addr{} }, ErrAddressInvalid},
		{"no gateway", func(c *Config) { c.Gateway = netip.Addr{} }, ErrAddressInvalid},
		{"no MAC", func(c *Config) { c.MAC = MAC{} }, ErrAddressInvalid},
		{"group MAC", func(c *Config) { c.MAC[0] = 0x53 }, ErrAddressInvalid},
		{"other uplink", func(c *Config) { c.Uplink = "eth1" }, ErrNoUplink},
		{"no tap", func(c *Config) { c.Tap = "" }, ErrConfig},
		{"long tap", func(c *Config) { c.Tap = "sixteen-bytes-xx" }, ErrConfig},
		{"tap with slash", func(c *Config) { c.Tap = "a/b" }, ErrConfig},
		{"tap with space", func(c *Config) { c.Tap = "a b" }, ErrConfig},
		{"tap with newline", func(c *Config) { c.Tap = "a\nb" }, ErrConfig},
		{"tap with format", func(c *Config) { c.Tap = "tap%d" }, ErrConfig},
		{"tap with shell", func(c *Config) { c.Tap = "$(id)" }, ErrConfig},
		{"tap as option", func(c *Config) { c.Tap = "-all" }, ErrConfig},
		{"tap ..", func(c *Config) { c.Tap = ".." }, ErrConfig},
		{"tap is uplink", func(c *Config) { c.Tap = "eth0" }, ErrConfig},
		{"long alias", func(c *Config) { c.Alias = strings.Repeat("x", 256) }, ErrConfig},
		{"alias with newline", func(c *Config) { c.Alias = "a\nb" }, ErrConfig},
		{"MTU 0", func(c *Config) { c.MTU = 0 }, ErrConfig},
		{"MTU 65522", func(c *Config) { c.MTU = 65522 }, ErrConfig},
		{"no queue", func(c *Config) { c.Queues = 0 }, ErrConfig},
		{"many queues", func(c *Config) { c.Queues = 257 }, ErrConfig},
		{"negative uid", func(c *Config) { c.TapUID = -1 }, ErrConfig},
		{"proxy ARP", func(c *Config) { c.ProxyARP = "on" }, ErrConfig},
	} {
		cfg := subnetConfig()
		c.change(&cfg)
		if _, err := NewPlan(cfg, eth0Facts()); !errors.Is(err, c.want) {
			t.Errorf("%s: %v, want %v", c.name, err, c.want)
		}
	}
}

func TestPlanJSON(t *testing.T) {
	for name, c := range situations() {
		facts := eth0Facts()
		if c.Uplink == "" {
			facts = Facts{}
		}
		p, err := NewPlan(c, facts)
		if err != nil {
			t.Fatal(err)
		}
		text, err := json.Marshal(p)
		if err != nil {
			t.Fatal(err)
		}
		var back Plan
		if err := json.Unmarshal(text, &back); err != nil {
			t.Fatal(err)
		}
		comparable := []cmp.Option{cmpopts.EquateComparable(netip.Addr{}, netip.Prefix{})}
		if diff := cmp.Diff(p, &back, comparable...); diff != "" {
			t.Errorf("%s:\n%s", name, diff)
		}
	}
	// A plan of another version or with nonsense inside does nothing.
	for _, text := range []string{`{}`, `{"version":99}`, `{"version":1,"config":{"tap":"../x"}}`} {
		var p Plan
		if err := json.Unmarshal([]byte(text), &p); err != nil {
			t.Fatal(err)
		}
		if _, err := p.Commands(); err == nil {
			t.Errorf("%s: no error", text)
		}
	}
}
