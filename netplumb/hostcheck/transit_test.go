package hostcheck

import (
	"os/exec"
	"strings"
	"testing"

	"kvmrun/netplumb/internal/nstest"
)

// A host with a VPN beside its uplink, and one guest.
const withVPN = `ip link add eth0 type veth peer name lan0; ip link set lan0 up; ip link set eth0 up; ip addr add 192.0.2.10/24 dev eth0
ip link add kvm0 type veth peer name guest0; ip link set guest0 up; ip link set kvm0 up; ip route add 10.254.254.2 dev kvm0
sysctl -qw net.ipv4.ip_forward=0; sysctl -qw net.ipv4.conf.eth0.forwarding=1
`

const vpn = `ip link add vpn0 type veth peer name vpn1; ip link set vpn1 up; ip link set vpn0 up; ip addr add 10.8.0.1/24 dev vpn0
`

func TestUplinkForwarding(t *testing.T) {
	for _, program := range []string{"nft", "iptables"} {
		if _, err := exec.LookPath(program); err != nil {
			t.Skipf("skipped: %s, which makes the rules of this test, is not installed", program)
		}
	}
	for name, c := range map[string]struct {
		commands string
		want     Status
	}{
		"no other network":        {"", OK},
		"a VPN":                   {vpn, Warn},
		"by one of two hops":      {vpn + "ip addr flush dev vpn0; ip addr add 10.8.0.1/32 dev vpn0; ip route add 10.9.0.0/16 nexthop dev vpn0 nexthop dev eth0", Warn},
		"a VPN without routes":    {vpn + "ip addr flush dev vpn0", OK},
		"no guest yet":            {vpn + "sysctl -qw net.ipv4.conf.eth0.forwarding=0", OK},
		"a router anyway":         {vpn + "sysctl -qw net.ipv4.ip_forward=1", OK},
		"closed by a rule":        {vpn + "iptables -A FORWARD -i eth0 -o vpn0 -j DROP", OK},
		"closed by a policy":      {vpn + "iptables -P FORWARD DROP; iptables -A FORWARD -i kvm+ -j ACCEPT; iptables -A FORWARD -o kvm+ -j ACCEPT", OK},
		"another one is closed":   {vpn + "iptables -A FORWARD -i eth0 -o vpn1 -j DROP", Warn},
		"closed for guests alone": {vpn + "iptables -A FORWARD -i kvm+ -o vpn0 -j DROP", Warn},
		"perhaps closed":          {vpn + `nft add table inet a; nft 'add chain inet a f { type filter hook forward priority 0; policy accept; }'; nft add rule inet a f oifname '{ "vpn0", "vpn1" }' drop`, Warn},
		"closed for mail":         {vpn + "iptables -A FORWARD -p tcp --dport 25 -j DROP", Warn},
	} {
		t.Run(name, func(t *testing.T) {
			ns := nstest.New(t)
			ns.Shell(t, withVPN+c.commands)
			check := func() (r Result) {
				ns.Do(func() { r = host.UplinkForwarding() })
				return r
			}
			r := check()
			if r.Status != c.want || (r.Status == Warn) != strings.Contains(r.Seen, "behind vpn0") {
				t.Fatalf("%+v, want %s", r, c.want)
			}
			if r.Status == OK {
				return
			}
			before := forward(ns).Status
			ns.Shell(t, r.Remedy)
			if r := check(); r.Status != OK {
				t.Errorf("after its remedy: %+v", r)
			}
			if r := forward(ns); r.Status != before {
				t.Errorf("the remedy is in the guests' way: %+v", r)
			}
		})
	}
	if r := (Host{}).UplinkForwarding(); r.Status != OK {
		t.Errorf("without an uplink: %+v", r)
	}
}
