package hostcheck

import (
	"net/netip"
	"os/exec"
	"testing"

	"kvmrun/netplumb/internal/nstest"
)

var (
	guestAddr = netip.MustParseAddr("10.254.254.2")
	lanAddr   = netip.MustParseAddr("192.0.2.1")
	toIt      = Packet{In: "eth0", Out: "kvm0", Source: lanAddr, Destination: guestAddr, What: "to the guest"}
	fromIt    = Packet{In: "kvm0", Out: "eth0", Source: guestAddr, Destination: lanAddr, What: "from the guest"}
)

func chainAt(hook string) string {
	return `nft add table inet a; nft 'add chain inet a c { type filter hook ` + hook + ` priority 0; policy accept; }'; `
}

// Of packets that are known by their addresses rules are judged by these, at
// every hook; the remedy mends what was found.
func TestDropsOfKnownPackets(t *testing.T) {
	if _, err := exec.LookPath("nft"); err != nil {
		t.Skip("skipped: nft, which makes the rules of this test, is not installed")
	}
	for name, c := range map[string]struct {
		at       Hook
		packet   Packet
		commands string
		by       string // "" for nothing that drops
		remedy   string
	}{
		"accepts by address":     {Forward, toIt, `iptables -P FORWARD DROP; iptables -A FORWARD -d 10.254.254.0/24 -j ACCEPT`, "", ""},
		"accepts other address":  {Forward, toIt, `iptables -P FORWARD DROP; iptables -A FORWARD -d 10.254.253.0/24 -j ACCEPT`, "its policy", "iptables -I FORWARD -i kvm+ -j ACCEPT\niptables -I FORWARD -o kvm+ -j ACCEPT"},
		"an odd mask":            {Forward, fromIt, `iptables -A FORWARD ! -s 10.254.254.4/30 -j DROP`, "rule 1 of chain FORWARD", "iptables -I FORWARD -i kvm+ -j ACCEPT\niptables -I FORWARD -o kvm+ -j ACCEPT"},
		"in an odd mask":         {Forward, fromIt, `iptables -A FORWARD ! -s 10.254.254.0/30 -j DROP`, "", ""},
		"raw":                    {Prerouting, fromIt, `iptables -t raw -A PREROUTING -s 10.254.254.2 -j DROP`, "rule 1 of chain PREROUTING", `nft insert rule ip raw PREROUTING iifname "kvm*" accept`},
		"raw, the other way":     {Prerouting, toIt, `iptables -t raw -A PREROUTING -d 10.254.254.2 -j DROP`, "rule 1 of chain PREROUTING", `nft insert rule ip raw PREROUTING ip daddr 10.254.254.2 accept`},
		"raw, of others":         {Prerouting, toIt, `iptables -t raw -A PREROUTING -s 10.254.254.2 -j DROP`, "", ""},
		"output":                 {Output, Packet{Out: "kvm0", Destination: guestAddr}, chainAt("output") + `nft add rule inet a c ip daddr 10.254.0.0/16 drop`, "rule 1 of chain c", `nft insert rule inet a c oifname "kvm*" accept`},
		"output by iptables":     {Output, Packet{Out: "kvm0", Destination: guestAddr}, `iptables -P OUTPUT DROP`, "its policy", `iptables -I OUTPUT -o kvm+ -j ACCEPT`},
		"postrouting":            {Postrouting, fromIt, chainAt("postrouting") + `nft add rule inet a c oifname eth0 ip saddr != 192.0.2.0/24 drop`, "rule 1 of chain c", `nft insert rule inet a c ip saddr 10.254.254.2 accept`},
		"input":                  {Input, Packet{In: "kvm0", Source: guestAddr}, `iptables -P INPUT DROP`, "its policy", `iptables -I INPUT -i kvm+ -j ACCEPT`},
		"output is not forward":  {Forward, toIt, `iptables -P OUTPUT DROP`, "", ""},
		"legacy":                 {Output, Packet{Out: "kvm0", Destination: guestAddr}, `iptables-legacy -A OUTPUT -d 10.254.254.2/32 -j DROP`, "rule 1 of chain OUTPUT", `iptables-legacy -I OUTPUT -o kvm+ -j ACCEPT`},
		"legacy, of others":      {Output, Packet{Out: "kvm0", Destination: guestAddr}, `iptables-legacy -A OUTPUT ! -d 10.254.254.2/31 -j DROP`, "", ""},
		"not judged":             {Forward, toIt, chainAt("forward") + `nft add rule inet a c ip daddr 10.254.254.2 ip protocol icmp drop`, "rule 1 of chain c", "nft insert rule inet a c iifname \"kvm*\" accept\nnft insert rule inet a c oifname \"kvm*\" accept"},
		"not judged, not theirs": {Forward, toIt, chainAt("forward") + `nft add rule inet a c ip daddr 10.254.254.3 ip protocol icmp drop`, "", ""},
	} {
		t.Run(name, func(t *testing.T) {
			ns := nstest.New(t)
			ns.Shell(t, c.commands)
			drops := dropsIn(t, ns, c.at, c.packet)
			if c.by == "" {
				if len(drops) > 0 {
					t.Errorf("found %+v, want nothing", drops)
				}
				return
			}
			if len(drops) != 1 || drops[0].By != c.by || drops[0].Certain == drops[0].Unjudged {
				t.Fatalf("found %+v, want one by %s", drops, c.by)
			}
			remedy := drops[0].Remedy("kvm*")
			if remedy != c.remedy {
				t.Errorf("remedy:\n%s\nwant:\n%s", remedy, c.remedy)
			}
			ns.Shell(t, remedy)
			if drops := dropsIn(t, ns, c.at, c.packet); len(drops) > 0 {
				t.Errorf("after the remedy: %+v", drops)
			}
		})
	}
}

func dropsIn(t *testing.T, ns *nstest.Namespace, at Hook, packet Packet) (drops []Drop) {
	t.Helper()
	var err error
	ns.Do(func() {
		var filters Filters
		if filters, err = host.Filters(); err == nil {
			drops, err = filters.Drops(at, packet)
		}
	})
	if err != nil {
		t.Fatal(err)
	}
	return drops
}
