package e2e

import (
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/vishvananda/netlink"

	"kvmrun/tests/lab"
)

// beyond are addresses that the host routes elsewhere than to the LAN, and some
// of the LAN's and of nobody's: all of them are no VM's.
var (
	beyond = []string{"10.99.0.2", "10.99.8.5", "172.20.1.1", "172.21.3.3"}
	nobody = []string{"192.0.2.99", "192.0.2.200", "10.254.254.99", "203.0.113.9", "10.99.200.1", "100.64.7.7"}
)

// newHostWithVPN is a host that others use, too: a VPN to a network of its own
// (the peer), another tunnel, policy routing, more addresses, and sysctls that
// nobody would expect.
func newHostWithVPN(t *testing.T) *host {
	t.Helper()
	h := newHost(t, lab.LANPeers(1))
	err := h.Host.InNet(func() error {
		links, err := netlink.NewHandle()
		if err != nil {
			return err
		}
		defer links.Close()
		return links.LinkAdd(&netlink.Veth{
			LinkAttrs: netlink.LinkAttrs{Name: "vpn0"}, PeerName: "vpn0",
			PeerNamespace: netlink.NsPid(h.Peers[0].PID),
		})
	})
	if err != nil {
		t.Fatal(err)
	}
	// The peer is behind the VPN and no longer on the LAN, where it would answer
	// for its own addresses.
	h.Peers[0].MustRun(t, "sh", "-euc", `
		ip link set eth0 down
		ip address add 10.99.0.2/24 dev vpn0
		ip address add 10.99.8.5/32 dev vpn0
		ip link set vpn0 up`)
	h.sh(t, `
		ip address add 10.99.0.1/24 dev vpn0
		ip link set vpn0 up alias "somebody's VPN"
		ip route add 10.99.8.0/24 via 10.99.0.2 metric 42
		ip tuntap add dev tun7 mode tun
		ip address add 172.20.0.1/32 peer 172.20.0.2 dev tun7
		ip link set tun7 up
		ip route add 172.20.0.0/16 dev tun7
		ip route add 172.21.0.0/16 via 10.99.0.2 table 100
		ip route add default via 10.99.0.2 table 100
		ip route add blackhole 198.18.0.0/15
		ip rule add to 172.21.0.0/16 lookup 100 priority 900
		ip rule add from 10.99.0.0/24 lookup 100 priority 1000
		ip rule add fwmark 0x51 lookup 51 priority 1001
		ip address add 192.0.2.11/24 dev eth0
		ip address add 198.51.100.7/32 dev eth0 label eth0:7
		ip address add 198.51.100.8/32 dev lo
		ip -6 address add 2001:db8::10/64 dev eth0 nodad
		ip -6 route add 2001:db8:99::/48 dev vpn0
		ip neigh add 192.0.2.12 lladdr 02:00:00:00:00:12 nud permanent dev eth0
		ip neigh add proxy 192.0.2.10 dev vpn0
		nft 'add table inet others { chain in { type filter hook input priority 0; policy accept; tcp dport 9999 drop; }; }'
		cd /proc/sys/net/ipv4
		echo 1 >conf/vpn0/forwarding
		echo 1 >conf/eth0/arp_filter
		echo 2 >conf/eth0/rp_filter
		echo 1 >conf/vpn0/proxy_arp
		echo 2 >conf/all/arp_announce
		echo 1 >conf/eth0/send_redirects
		echo 1 >conf/default/log_martians
		echo 1234 >neigh/eth0/retrans_time_ms
		echo 33 >neigh/vpn0/proxy_delay`)
	// What the kernel does a moment later, such as addresses of its own, is done.
	lab.Eventually(t, patience, func() error {
		h.before = h.Host.Snapshot(t)
		return asError(h.before.Diff(h.Host.Snapshot(t)))
	})
	return h
}

// documented is what kvmrun says that it does to a host, line by line of a
// snapshot's difference, in docs/networking.md.
var documented = []*regexp.Regexp{
	regexp.MustCompile(`^links: \+ \d+: kr-`),
	regexp.MustCompile(`^addresses: \+ \d+: kr-\S+ +inet `),
	regexp.MustCompile(`^addresses: \+ \d+: eth0 +inet 10\.254\.254\.1/32 metric 21076 scope (global|link) eth0:0`),
	regexp.MustCompile(`^routes: \+ \S+ dev kr-\S+ proto 82 scope link src `),
	regexp.MustCompile(`^routes: \+ local (10\.254\.254\.1|192\.0\.2\.10) dev kr-`),
	regexp.MustCompile(`^routes: \+ local 10\.254\.254\.1 dev eth0 table local proto kernel `),
	regexp.MustCompile(`^neighbours: \+ \S+ dev kr-\S+ lladdr 52:54:\S+ PERMANENT`),
	regexp.MustCompile(`^neighbours: \+ \S+ dev eth0 proxy proto 82`),
	regexp.MustCompile(`^sysctls: \+ ipv[46]/(conf|neigh)/kr-`),
	regexp.MustCompile(`^sysctls: [+-] ipv4/conf/eth0/forwarding:`),
	regexp.MustCompile(`^sysctls: [+-] ipv4/neigh/eth0/proxy_delay:`),
	regexp.MustCompile(`^(processes|files|sockets): \+ `),
}

// TestOthersOnTheHostDoNotSuffer compares all of the host's network with what it
// was, while VMs run in both situations and after. Meanwhile the host answers on
// the LAN for the VMs and for nobody else.
func TestOthersOnTheHostDoNotSuffer(t *testing.T) {
	t.Parallel()
	h := newHostWithVPN(t)
	lan := listenARP(t, h.LAN)
	if answers := h.answersFor(t, lan, slices.Concat(beyond, nobody)...); len(answers) > 0 {
		t.Errorf("without a VM the host answers for %q", answers)
	}
	own := h.startNet(t, append(boot(t), "--name", "own")...)
	inLAN := h.startNet(t, append(boot(t), "--name", "in-lan", "--ip", "192.0.2.77")...)
	for line := range strings.Lines(h.before.Diff(h.Host.Snapshot(t))) {
		if !slices.ContainsFunc(documented, func(known *regexp.Regexp) bool { return known.MatchString(line) }) {
			t.Errorf("while VMs run, not as before: %s", line)
		}
	}
	all := append(slices.Concat(beyond, nobody), own.IP, inLAN.IP)
	if answers := h.answersFor(t, lan, all...); !slices.Equal(answers, []string{own.IP, inLAN.IP}) {
		t.Errorf("with VMs the host answers for %q, want %s and %s", answers, own.IP, inLAN.IP)
	}
	// The VPN works as before, and the LAN reaches guests beside it.
	h.Host.WaitPing(t, "10.99.8.5", patience)
	inLAN.reachedFrom(t, h.LAN)
	h.must(t, "stop", "--all", "--force")
	h.isAsBefore(t)
}

// TestInterfaceAnswersForOthers is the other choice, which answers for whatever
// the host routes: the questions above are such that a host may answer.
func TestInterfaceAnswersForOthers(t *testing.T) {
	t.Parallel()
	h := newHostWithVPN(t)
	lan := listenARP(t, h.LAN)
	h.start(t, frozen(t, "--ip", "192.0.2.77", "--proxy-arp", "interface")...)
	if answers := h.answersFor(t, lan, slices.Concat(beyond, nobody)...); !slices.Equal(answers, beyond) {
		t.Errorf("the host answers for %q, want %q", answers, beyond)
	}
	h.must(t, "stop", "--all", "--force")
	h.isAsBefore(t)
}

// answersFor asks the host for addresses and returns those that it answers for.
// It answers in turn, and always for its own, which is asked for last.
func (h *host) answersFor(t *testing.T, lan *arpWire, addresses ...string) []string {
	t.Helper()
	for _, address := range append(addresses, lab.HostAddress) {
		lan.ask(t, lab.LANAddress, address)
	}
	heard := lan.hear(t, "the host's answer for itself", lan.isAnswer(lab.HostAddress))
	var answers []string
	for _, p := range heard[:len(heard)-1] {
		if address := p.SenderAddr.String(); lan.isAnswer(address)(p) {
			answers = append(answers, address)
		}
	}
	return answers
}
