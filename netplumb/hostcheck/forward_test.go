package hostcheck

import (
	"os/exec"
	"strings"
	"testing"

	"kvmrun/netplumb/internal/nstest"
)

var host = Host{Uplink: "eth0", TapPrefix: "kvm"}

// rulesets are read from a kernel that nft or iptables has put them into.
var rulesets = map[string]struct {
	commands string // shell
	want     Status
	seen     []string // words of what was seen
}{
	"nothing":             {"", OK, nil},
	"a policy of accept":  {`nft add table ip a; nft 'add chain ip a f { type filter hook forward priority 0; policy accept; }'`, OK, nil},
	"a policy of drop":    {`nft add table ip a; nft 'add chain ip a f { type filter hook forward priority 0; policy drop; }'`, Fail, []string{"chain f of ip a", "from guests and to guests", "policy"}},
	"inet":                {`nft add table inet a; nft 'add chain inet a f { type filter hook forward priority 0; policy drop; }'`, Fail, []string{"inet a"}},
	"IPv6 alone":          {`nft add table ip6 a; nft 'add chain ip6 a f { type filter hook forward priority 0; policy drop; }'`, OK, nil},
	"another hook":        {`nft add table ip a; nft 'add chain ip a i { type filter hook input priority 0; policy drop; }'`, OK, nil},
	"iptables":            {`iptables -P FORWARD DROP`, Fail, []string{"chain FORWARD of ip filter"}},
	"accepted elsewhere":  {`iptables -P FORWARD DROP; nft add table ip a; nft 'add chain ip a f { type filter hook forward priority -10; policy accept; }'; nft add rule ip a f accept`, Fail, []string{"cannot overrule"}},
	"drops in a set":      {`nft add table inet a; nft 'add chain inet a f { type filter hook forward priority 0; policy accept; }'; nft add rule inet a f iifname '{ "eth0", "eth1" }' oifname '"kvm*"' drop`, Warn, []string{"might be dropped by rule 1 of chain f of inet a"}},
	"drops in a map":      {`nft add table inet a; nft 'add chain inet a f { type filter hook forward priority 0; policy accept; }'; nft add rule inet a f iifname vmap '{ "eth0" : drop }'`, Warn, []string{"rule 1 of chain f"}},
	"drops others":        {`nft add table inet a; nft 'add chain inet a f { type filter hook forward priority 0; policy accept; }'; nft add rule inet a f ct state invalid drop; nft add rule inet a f oifname docker0 ip daddr 192.0.2.1 drop`, OK, nil},
	"two that drop":       {`iptables -P FORWARD DROP; nft add table inet a; nft 'add chain inet a f { type filter hook forward priority 0; policy drop; }'`, Fail, []string{"ip filter", "inet a"}},
	"one direction alone": {`iptables -P FORWARD DROP; iptables -A FORWARD -i kvm+ -j ACCEPT`, Fail, []string{"packets to guests"}},
	"both directions":     {`iptables -P FORWARD DROP; iptables -A FORWARD -i kvm+ -j ACCEPT; iptables -A FORWARD -o kvm+ -m comment --comment "the VMs" -j ACCEPT`, OK, nil},
	"other taps":          {`iptables -P FORWARD DROP; iptables -A FORWARD -i vnet+ -j ACCEPT; iptables -A FORWARD -o vnet+ -j ACCEPT`, Fail, nil},
	"by the uplink":       {`iptables -P FORWARD DROP; iptables -A FORWARD -i eth0 -j ACCEPT; iptables -A FORWARD ! -i eth1 -o eth0 -j ACCEPT`, OK, nil},
	"answers alone":       {`iptables -P FORWARD DROP; iptables -A FORWARD -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT`, Fail, nil},
	"new ones too":        {`iptables -P FORWARD DROP; iptables -A FORWARD -m conntrack --ctstate NEW,ESTABLISHED -j ACCEPT`, OK, nil},
	"answers alone, nft":  {`nft add table inet a; nft 'add chain inet a f { type filter hook forward priority 0; policy drop; }'; nft add rule inet a f ct state established,related accept`, Fail, nil},
	"new ones too, nft":   {`nft add table inet a; nft 'add chain inet a f { type filter hook forward priority 0; policy drop; }'; nft add rule inet a f ct state new,established counter accept`, OK, nil},
	"by address":          {`iptables -P FORWARD DROP; iptables -A FORWARD -s 10.254.254.0/24 -j ACCEPT; iptables -A FORWARD -d 10.254.254.0/24 -j ACCEPT`, Warn, []string{"not be judged"}},
	"a verdict map":       {`nft add table inet a; nft 'add chain inet a f { type filter hook forward priority 0; policy drop; }'; nft 'add rule inet a f ct state vmap { established : accept, new : accept }'`, Warn, nil},
	"a rule for IPv6":     {`nft add table inet a; nft 'add chain inet a f { type filter hook forward priority 0; policy drop; }'; nft add rule inet a f meta nfproto ipv6 accept`, Fail, nil},
	"a rule for IPv4":     {`nft add table inet a; nft 'add chain inet a f { type filter hook forward priority 0; policy drop; }'; nft add rule inet a f meta nfproto ipv4 accept`, OK, nil},
	"rejects at the end":  {`nft add table inet firewalld; nft 'add chain inet firewalld FWD { type filter hook forward priority 10; policy accept; }'; nft add rule inet firewalld FWD iifname lo accept; nft add rule inet firewalld FWD reject with icmpx admin-prohibited`, Fail, []string{"rule 2 of chain FWD"}},
	"iptables rejects":    {`iptables -A FORWARD -j REJECT`, Fail, []string{"rule 1 of chain FORWARD"}},
	"logs, then accepts":  {`iptables -P FORWARD DROP; iptables -A FORWARD -j LOG; iptables -A FORWARD -j ACCEPT`, OK, nil},
	"a chain that returns": {`iptables -P FORWARD DROP; iptables -N X; iptables -A X -i kvm+ -j RETURN; iptables -A X -j ACCEPT; iptables -A FORWARD -j X`,
		Fail, []string{"packets from guests by"}},
	"a goto":           {`iptables -P FORWARD DROP; iptables -N X; iptables -A FORWARD -g X; iptables -A FORWARD -j ACCEPT`, Fail, nil},
	"drops in a chain": {`iptables -N X; iptables -A X -o kvm+ -j DROP; iptables -A FORWARD -j X`, Fail, []string{"rule 1 of chain X", "packets to guests"}},
	"Docker": {`iptables -P FORWARD DROP; iptables -N DOCKER-USER; iptables -N DOCKER-FORWARD; iptables -A DOCKER-USER -j RETURN
		iptables -A DOCKER-FORWARD -o docker0 -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT; iptables -A DOCKER-FORWARD -i docker0 -j ACCEPT
		iptables -A FORWARD -j DOCKER-USER; iptables -A FORWARD -j DOCKER-FORWARD`, Fail, []string{"ip filter"}},
	"legacy":                 {`iptables-legacy -P FORWARD DROP`, Fail, []string{"legacy iptables"}},
	"legacy beside nftables": {`iptables-legacy -P FORWARD DROP; iptables -P FORWARD DROP`, Fail, []string{"legacy iptables", "ip filter"}},
	"legacy that accepts":    {`iptables-legacy -P FORWARD DROP; iptables-legacy -A FORWARD -i kvm+ -j ACCEPT; iptables-legacy -A FORWARD -o kvm+ -j ACCEPT`, OK, nil},
}

func TestForwardAndItsRemedies(t *testing.T) {
	for _, program := range []string{"nft", "iptables", "iptables-legacy"} {
		if _, err := exec.LookPath(program); err != nil {
			t.Skipf("skipped: %s, which makes the rules of this test, is not installed", program)
		}
	}
	for name, c := range rulesets {
		t.Run(name, func(t *testing.T) {
			ns := nstest.New(t)
			ns.Shell(t, c.commands)
			before := ns.Shell(t, everything)
			result := forward(ns)
			if after := ns.Shell(t, everything); after != before {
				t.Errorf("the check changed the rules:\n%s\nfrom:\n%s", after, before)
			}
			if result.Status != c.want {
				t.Fatalf("%+v, want %s", result, c.want)
			}
			for _, words := range c.seen {
				if !strings.Contains(result.Seen, words) {
					t.Errorf("seen %q lacks %q", result.Seen, words)
				}
			}
			doubtful := strings.Contains(result.Seen, "might be dropped") // only a person can judge it
			if (result.Remedy == "") != (c.want == OK || doubtful) {
				t.Errorf("%s with remedy %q", result.Status, result.Remedy)
			}
			ns.Shell(t, result.Remedy)
			if again := forward(ns); again.Status != OK && result.Remedy != "" {
				t.Errorf("after the remedy\n%s\n%+v", result.Remedy, again)
			}
		})
	}
}

// everything lists the rules without touching legacy iptables where it is not
// in use: listing it would load it.
const everything = `nft list ruleset; if grep -q filter /proc/thread-self/net/ip_tables_names 2>/dev/null; then iptables-legacy -S; fi`

func TestForwardRemedyGoesThroughDocker(t *testing.T) {
	ns := nstest.New(t)
	ns.Shell(t, rulesets["Docker"].commands)
	result := forward(ns)
	want := "iptables -I DOCKER-USER -i kvm+ -j ACCEPT\niptables -I DOCKER-USER -o kvm+ -j ACCEPT"
	if result.Remedy != want {
		t.Errorf("remedy:\n%s\nwant:\n%s", result.Remedy, want)
	}
}

func forward(ns *nstest.Namespace) (result Result) {
	ns.Do(func() { result = host.Forward() })
	return result
}

func TestParseLegacyLine(t *testing.T) {
	packet := Packet{In: "kvm0", Out: "eth0"}
	for line, want := range map[string]struct {
		applies, unsure bool
		verdict         verdict
	}{
		`-A FORWARD -j ACCEPT`:                                              {true, false, accept},
		`-A FORWARD -i kvm+ -j ACCEPT`:                                      {true, false, accept},
		`-A FORWARD ! -i kvm+ -j ACCEPT`:                                    {false, false, accept},
		`-A FORWARD ! -s 10.0.0.0/8 -i kvm+ -j ACCEPT`:                      {true, true, accept},
		`-A FORWARD -i kvm0 -o eth1 -j DROP`:                                {false, false, drop},
		`-A FORWARD -p tcp -m tcp --dport 22 -j ACCEPT`:                     {true, true, accept},
		`-A FORWARD -m comment --comment "-j DROP \" -i x" -j ACCEPT`:       {true, false, accept},
		`-A FORWARD -m conntrack ! --ctstate NEW -j ACCEPT`:                 {false, false, accept},
		`-A FORWARD -m state --state NEW -j REJECT --reject-with tcp-reset`: {true, false, drop},
		`-A FORWARD -g OTHER`:                                               {true, false, leap},
		`-A FORWARD -j OTHER`:                                               {true, false, jump},
		`-A FORWARD`:                                                        {true, false, pass},
		`-A FORWARD -j`:                                                     {true, false, jump},
	} {
		rules, err := parseLegacy(line).rules("FORWARD")
		if err != nil || len(rules) != 1 {
			t.Fatalf("%s: %v, %v", line, rules, err)
		}
		r := rules[0]
		if r.applies(packet) != want.applies || r.judged(packet) == want.unsure || r.verdict != want.verdict {
			t.Errorf("%s: applies %v, %+v; want %+v", line, r.applies(packet), r, want)
		}
	}
}
