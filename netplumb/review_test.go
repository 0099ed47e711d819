package netplumb

import (
	"strings"
	"testing"
)

// TestReviewAndRemedy breaks one thing at a time. Review must find it, and its
// remedy, run as it is, must mend it.
func TestReviewAndRemedy(t *testing.T) {
	if !ownNamespace(t) {
		return
	}
	l := newLab(t)
	c := subnetConfig()
	p := l.plan(c)
	l.apply(p)
	l.breakAndMend(p, map[string]string{
		"ip link set kvm-web down; ip address add 10.254.254.1/32 dev kvm-web scope link noprefixroute 2>/dev/null || :": "settings of kvm-web",
		"sysctl -q -w net.ipv4.conf.kvm-web.rp_filter=2":                                                                 "settings of kvm-web",
		"sysctl -q -w net.ipv4.conf.kvm-web.proxy_arp=0":                                                                 "settings of kvm-web",
		"sysctl -q -w net.ipv4.conf.kvm-web.forwarding=0":                                                                "settings of kvm-web",
		"sysctl -q -w net.ipv4.neigh.kvm-web.proxy_delay=80":                                                             "settings of kvm-web",
		"sysctl -q -w net.ipv6.conf.kvm-web.disable_ipv6=0":                                                              "settings of kvm-web",
		"ip link set kvm-web mtu 1400":                                                                                   "settings of kvm-web",
		"ip address delete 10.254.254.1/32 dev kvm-web":                                                                  "address 10.254.254.1 on kvm-web",
		"ip route delete 10.254.254.2":                                                                                   "route to 10.254.254.2 by kvm-web",
		"ip route replace 10.254.254.2 dev lan0":                                                                         "route to 10.254.254.2 by kvm-web",
		"ip neigh delete 10.254.254.2 dev kvm-web":                                                                       "neighbour 10.254.254.2 on kvm-web",
		"ip neigh replace 10.254.254.2 lladdr 02:00:00:00:00:01 dev kvm-web":                                             "neighbour 10.254.254.2 on kvm-web",
		"sysctl -q -w net.ipv4.conf.eth0.forwarding=0":                                                                   "sysctl net.ipv4.conf.eth0.forwarding",
		"sysctl -q -w net.ipv4.neigh.eth0.proxy_delay=80":                                                                "sysctl net.ipv4.neigh.eth0.proxy_delay",
		"ip neigh delete proxy 10.254.254.2 dev eth0":                                                                    "proxy ARP for 10.254.254.2 on eth0",
		"ip address delete 10.254.254.1/32 dev eth0":                                                                     "address 10.254.254.1 on eth0",
	})

	parts := map[Part]bool{"": true}
	for _, f := range p.Review(l.Host) {
		if parts[f.Part] {
			t.Errorf("%s is no part of its own: %q", f.Step, f.Part)
		}
		parts[f.Part] = true
	}

	// What no command can mend: the tap is another.
	l.sh("ip link delete kvm-web; ip tuntap add dev kvm-web mode tap")
	found := p.Review(l.Host)[0]
	if found.OK || found.Remedy != "" || found.Have != `group 0 alias ""` {
		t.Errorf("a stranger's tap: %+v", found)
	}
	l.sh("ip link delete kvm-web")
	for _, f := range p.Review(l.Host) {
		if strings.Contains(f.Step, "kvm-web") && (f.OK || f.Have != absent || f.Remedy != "") {
			t.Errorf("without a tap: %+v", f)
		}
	}
}

// TestAliasPutBackByItsRemedy makes sure that what the remedy puts back is
// kvmrun's again, and goes with the guest.
func TestAliasPutBackByItsRemedy(t *testing.T) {
	if !ownNamespace(t) {
		return
	}
	l := newLab(t)
	before := l.state()
	p := l.plan(subnetConfig())
	files := l.apply(p)
	l.breakAndMend(p, map[string]string{
		"ip address delete 10.254.254.1/32 dev eth0": "address 10.254.254.1 on eth0",
	})
	closeAll(files)
	l.undo(p)
	l.unchanged(before)
}

// breakAndMend runs each command and expects one step to be found wanting.
func (l *lab) breakAndMend(p *Plan, breakages map[string]string) {
	l.Helper()
	for command, step := range breakages {
		l.allWell(p)
		l.sh(command)
		found := false
		for _, f := range p.Review(l.Host) {
			if f.OK {
				continue
			}
			found = found || f.Step == step
			if f.Have == f.Want || f.Remedy == "" {
				l.Errorf("%s: %+v", command, f)
			}
			l.sh(f.Remedy)
		}
		if !found {
			l.Errorf("%s: not found to be a fault of %q", command, step)
		}
		l.allWell(p)
	}
}
