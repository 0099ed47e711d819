package e2e

import (
	"fmt"
	"strings"
	"testing"

	"github.com/vishvananda/netlink"

	"kvmrun/tests/lab"
)

// hop is one of kvmrun net explain --json.
type hop struct{ Name, Status, Seen, Remedy, Look string }

// explanation is what kvmrun net explain --json prints.
type explanation struct {
	VM, IP, With, Broken string
	Reachable            bool
	Hops                 []hop
}

// named is the hop of a name.
func (e explanation) named(name string) hop {
	for _, h := range e.Hops {
		if h.Name == name {
			return h
		}
	}
	return hop{}
}

func (h *host) explain(t *testing.T, name string, flags ...string) explanation {
	t.Helper()
	var e explanation
	r := h.run(t, append([]string{"net", "explain", name, "--json"}, flags...)...)
	if r.ExitCode != 0 && r.ExitCode != 17 || r.Stderr != "" {
		t.Fatalf("exit status %d", r.ExitCode)
	}
	decode(t, r.Stdout, &e)
	if e.Reachable != (r.ExitCode == 0) || e.Reachable != (e.Broken == "") {
		t.Errorf("exit status %d, reachable %v, broken %q", r.ExitCode, e.Reachable, e.Broken)
	}
	return e
}

// breakage is something that is broken on purpose.
type breakage struct {
	name string
	host string   // breaks it on the host, by sh
	lan  string   // on the LAN's first machine
	peer string   // on the LAN's second machine
	call []string // of kvmrun's
	tty  string   // in the guest, on its console

	flags []string // of explain
	hop   string   // that is to be named; "" for a guest that is reached
	seen  string   // words of what was seen there
	warns string   // a hop that is to warn
	// The remedy is run where it belongs, "host", "lan" or "peer", and mends it;
	// "" for one that no command mends, "perhaps" for one that need not help.
	remedy string
	// What the remedy cannot know of, or what brought the breakage about.
	undoHost, undoLAN, undoPeer, undoTTY string
}

// worlds runs scripts where they belong.
func (h *host) worlds(t *testing.T, onHost, onLAN, onPeer string) {
	t.Helper()
	for script, world := range map[string]*lab.World{onHost: h.Host, onLAN: h.LAN, onPeer: h.Peers[0]} {
		if script != "" {
			world.MustRun(t, "sh", "-euc", script)
		}
	}
}

// typed types a line on the guest's console and waits until the shell there has
// done it.
func (v *vm) typed(t *testing.T, line string) {
	t.Helper()
	if line == "" {
		return
	}
	const done = "it is done"
	r := v.host.Host.RunWith(t, lab.Run{Stdin: strings.NewReader(line + "; echo 'it' is done\n")}, "kvmrun", "console", v.Name)
	if r.ExitCode != 0 || !strings.Contains(r.Stdout, done) {
		t.Fatalf("on the guest's console: %s", r)
	}
}

// isExplained breaks it, and wants the right hop named and a remedy that mends
// it.
func (b breakage) isExplained(t *testing.T, v *vm) {
	h := v.host
	h.worlds(t, b.host, b.lan, b.peer)
	if b.call != nil {
		h.must(t, b.call...)
	}
	v.typed(t, b.tty)
	e := h.explain(t, v.Name, b.flags...)
	if e.Broken != b.hop || !strings.Contains(e.named(b.hop).Seen, b.seen) {
		t.Errorf("named is %q, want %q with %q", e.Broken, b.hop, b.seen)
	}
	if b.warns != "" && e.named(b.warns).Status != "warn" {
		t.Errorf("no warning of %s: %+v", b.warns, e.named(b.warns))
	}
	remedy := e.named(b.hop).Remedy
	if (remedy != "") != (b.remedy != "") {
		t.Errorf("the remedy is %q", remedy)
	}
	switch b.remedy {
	case "host":
		h.worlds(t, remedy, "", "")
	case "lan":
		h.worlds(t, "", remedy, "")
	case "peer":
		h.worlds(t, "", "", remedy)
	}
	v.typed(t, b.undoTTY)
	h.worlds(t, b.undoHost, b.undoLAN, b.undoPeer)
	v.isWell(t)
}

// isWell waits until explain finds nothing: a cable that was put back takes the
// kernel a moment.
func (v *vm) isWell(t *testing.T) {
	t.Helper()
	lab.Eventually(t, patience, func() error {
		if e := v.host.explain(t, v.Name); !e.Reachable {
			return fmt.Errorf("%s fails: %s", e.Broken, e.named(e.Broken).Seen)
		}
		return nil
	})
	if err := v.host.LAN.Ping(v.IP, patience); err != nil {
		t.Error(err)
	}
}

// firewall is a table with one chain, at a hook.
func firewall(hook, rule string) string {
	return fmt.Sprintf("nft add table inet wall; nft 'add chain inet wall c { type filter hook %s priority 0; policy accept; }'; nft add rule inet wall c %s; ", hook, rule)
}

const noFirewall = "nft delete table inet wall"

var inOwnSubnet = []breakage{
	{name: "the tap is down", host: "ip link set kr-web down", hop: "tap", seen: "down", remedy: "host"},
	{name: "no gateway", host: "ip addr del 10.254.254.1/32 dev kr-web; ip addr del 10.254.254.1/32 dev eth0", hop: "address", remedy: "host"},
	{name: "no gateway on the tap", host: "ip addr del 10.254.254.1/32 dev kr-web", hop: "address", seen: "taken the route", remedy: "host"},
	{name: "the gateway on the uplink alone", host: "ip addr del 10.254.254.1/32 dev kr-web; ip route add 10.254.254.2/32 dev kr-web proto 82 scope link src 10.254.254.1", warns: "address", undoHost: "ip addr add 10.254.254.1/32 dev kr-web scope link noprefixroute"},
	{name: "another MAC", host: "ip neigh replace 10.254.254.2 lladdr 02:00:00:00:00:01 nud permanent dev kr-web", hop: "neighbour", seen: "02:00:00:00:00:01", remedy: "host"},
	{name: "no route", host: "ip route del 10.254.254.2", hop: "route", seen: "no route by kr-web", remedy: "host"},
	{name: "the route leads elsewhere", host: "ip route replace 10.254.254.2/32 dev eth0", hop: "route", seen: "dev eth0", remedy: "host"},
	{name: "a policy rule for the guest", host: "ip route add blackhole default table 66; ip rule add pref 100 to 10.254.254.0/24 lookup 66", hop: "route", seen: "100: from all to 10.254.254.0/24 lookup 66", remedy: "host", undoHost: "ip rule del pref 100; ip rule del pref 99; ip route flush table 66"},
	{name: "a policy rule for the uplink", host: "ip route add blackhole default table 66; ip rule add pref 100 iif eth0 lookup 66", hop: "route-in", seen: "100: from all iif eth0 lookup 66", remedy: "host", undoHost: "ip rule del pref 100; ip rule del pref 99; ip route flush table 66"},
	{name: "a policy rule for the tap", host: "ip route add prohibit default table 66; ip rule add pref 100 iif kr-web lookup 66", hop: "route-out", seen: "100: from all iif kr-web lookup 66", remedy: "host", undoHost: "ip rule del pref 100; ip rule del pref 99; ip route flush table 66"},
	{name: "what the host sends is dropped", host: firewall("output", "ip daddr 10.254.254.2 drop"), hop: "host", seen: "chain c of inet wall", remedy: "host", undoHost: noFirewall},
	{name: "what goes out is dropped", host: firewall("postrouting", "oifname kr-web drop"), hop: "host", seen: "chain c of inet wall", remedy: "host", undoHost: noFirewall},
	{name: "the uplink is down", host: "ip link set eth0 down", flags: []string{"--with", lab.LANAddress}, hop: "uplink", seen: "down", remedy: "host", undoHost: "ip route add default via " + lab.LANAddress},
	{name: "the cable is out", lan: "ip link set port0 down", hop: "uplink", seen: "no carrier", undoLAN: "ip link set port0 up"},
	{name: "the tap does not forward", host: "sysctl -w net.ipv4.conf.kr-web.forwarding=0", hop: "forwarding", seen: "kr-web", remedy: "host"},
	{name: "the uplink does not forward", host: "sysctl -w net.ipv4.conf.eth0.forwarding=0", hop: "forwarding", seen: "eth0", remedy: "host"},
	{name: "a guest that may lie", host: "sysctl -w net.ipv4.conf.kr-web.rp_filter=0", warns: "rp-filter", undoHost: "sysctl -w net.ipv4.conf.kr-web.rp_filter=1"},
	{name: "a policy of DROP", host: "iptables -P FORWARD DROP", hop: "filters", seen: "chain FORWARD of ip filter", remedy: "host", undoHost: "iptables -F; iptables -P FORWARD ACCEPT"},
	{name: "a rule for the guest", host: firewall("forward", "ip saddr 10.254.254.2 drop"), hop: "filters", seen: "rule 1 of chain c", remedy: "host", undoHost: noFirewall},
	{name: "a rule that cannot be judged", host: firewall("prerouting", "ip saddr 10.254.254.2 ip protocol icmp drop"), hop: "filters", seen: "could not be judged", remedy: "host", undoHost: noFirewall},
	{name: "a rule of iptables' raw table", host: "iptables -t raw -A PREROUTING -d 10.254.254.2 -j DROP", hop: "filters", seen: "chain PREROUTING of ip raw", remedy: "host", undoHost: "iptables -t raw -F"},
	{name: "a rule before netfilter", host: "nft add table netdev wall; nft 'add chain netdev wall c { type filter hook ingress device eth0 priority 0; }'; nft add rule netdev wall c ip daddr 10.254.254.2 drop", hop: "inward", seen: "came in by eth0 and never went out by kr-web", undoHost: "nft delete table netdev wall"},
	{name: "a firewall as it should be", host: firewall("forward", "ct state invalid drop") + "nft add rule inet wall c ct state established,related accept; nft add rule inet wall c iifname kr-web accept; nft add rule inet wall c oifname kr-web ct state new accept; nft add rule inet wall c drop", undoHost: noFirewall},
	{name: "the LAN's machine is off", peer: "ip link set eth0 down", flags: []string{"--with", "192.0.2.2"}, hop: "lan-machine", seen: "192.0.2.2 does not answer ARP", undoPeer: "ip link set eth0 up; ip route add 10.254.254.0/24 via 192.0.2.10"},
	{name: "the router has no route", lan: "ip route del 10.254.254.0/24", hop: "inward", seen: "no route to 10.254.254.0/24", remedy: "lan"},
	{name: "a machine has no route", peer: "ip route del 10.254.254.0/24", flags: []string{"--with", "192.0.2.2"}, hop: "inward", seen: "no route to 10.254.254.0/24", remedy: "peer"},
	{name: "the guest is paused", call: []string{"qmp", "web", "stop"}, hop: "vm", seen: "stands still", remedy: "host"},
	{name: "the guest's cable is pulled", call: []string{"qmp", "web", "set_link", `{"name": "nic0", "up": false}`}, hop: "guest", seen: "it first answered at", remedy: "host"},
	{name: "its other end is pulled", call: []string{"qmp", "web", "set_link", `{"name": "net0", "up": false}`}, hop: "guest", seen: "it first answered at", remedy: "host"},
	{name: "QEMU is stopped", host: "kill -STOP " + qemuOfWeb, hop: "vm", seen: "a signal or a debugger has stopped its QEMU", remedy: "host"},
	{name: "no ARP on the uplink", host: "ip link set eth0 arp off", hop: "uplink", seen: "ARP is off on eth0", remedy: "host"},
	{name: "no ARP on the tap", host: "ip link set kr-web arp off", hop: "tap", seen: "ARP is off on kr-web", remedy: "host"},
	{name: "the guest drops its address", tty: "ip addr flush dev eth0", hop: "guest", seen: "it was told it by DHCP", remedy: "perhaps", undoTTY: "ip addr add 10.254.254.2/24 dev eth0; ip route add default via 10.254.254.1"},
	{name: "the guest has no router", tty: "ip route del default", hop: "outward", seen: "no route there by its router 10.254.254.1", undoTTY: "ip route add default via 10.254.254.1"},
	{name: "the guest drops pings", tty: "echo 1 >/proc/sys/net/ipv4/icmp_echo_ignore_all", warns: "host", undoTTY: "echo 0 >/proc/sys/net/ipv4/icmp_echo_ignore_all"},
	{name: "a small MTU", host: "ip link set kr-web mtu 1280", warns: "tap", undoHost: "ip link set kr-web mtu 1500"},
}

// qemuOfWeb is for a shell to find it.
const qemuOfWeb = `$(kvmrun inspect web | sed -n 's/^ *"pid": \([0-9]*\),/\1/p' | head -n 1)`

// TestExplainNamesWhatIsBroken breaks one thing after another on the way to a
// guest in a subnet of its own, of which the supervisor would mend some.
func TestExplainNamesWhatIsBroken(t *testing.T) {
	t.Parallel()
	h := newHost(t, lab.LANPeers(1))
	v := h.startNet(t, append(boot(t), "--name", "web", "--no-repair")...)
	v.isWell(t)
	for _, b := range inOwnSubnet {
		t.Run(b.name, func(t *testing.T) { b.isExplained(t, v) })
	}
	t.Run("two cables", func(t *testing.T) { explainsTwoCables(t, v) })
	h.sh(t, "ip link del kr-web")
	if e := h.explain(t, "web"); e.Broken != "tap" || !strings.Contains(e.named("tap").Remedy, "kvmrun stop web") {
		t.Errorf("without a tap: %+v", e)
	}
	h.must(t, "stop", "--force", "web")
}

var inLAN = []breakage{
	{name: "no proxy entry", host: "ip neigh del proxy 192.0.2.77 dev eth0", hop: "proxy-arp", remedy: "host"},
	{name: "no proxy ARP on the tap", host: "sysctl -w net.ipv4.conf.kr-web.proxy_arp=0", hop: "gateway", seen: "proxy_arp of kr-web is off", remedy: "host"},
	{name: "a rival", peer: "ip addr add 192.0.2.77/32 dev eth0", hop: "rival", seen: "answers ARP for 192.0.2.77", undoPeer: "ip addr del 192.0.2.77/32 dev eth0", undoLAN: "ip neigh flush 192.0.2.77"},
	{name: "the LAN has another MAC", lan: "ip neigh replace 192.0.2.77 lladdr 02:00:00:00:00:99 nud reachable dev eth0", hop: "inward", seen: "at another MAC", remedy: "lan"},
	{name: "the tap's address is gone", host: "ip addr del 192.0.2.10/32 dev kr-web", hop: "address", seen: "taken the route", remedy: "host"},
	{name: "the uplink does not forward", host: "sysctl -w net.ipv4.conf.eth0.forwarding=0", hop: "forwarding", remedy: "host"},
	{name: "the uplink is down", host: "ip link set eth0 down", flags: []string{"--with", lab.LANAddress}, hop: "uplink", remedy: "host", undoHost: "ip route add default via " + lab.LANAddress},
	{name: "late answers", host: "sysctl -w net.ipv4.neigh.eth0.proxy_delay=80", warns: "proxy-arp", undoHost: "sysctl -w net.ipv4.neigh.eth0.proxy_delay=0"},
}

// TestExplainInLAN breaks what a guest with an address of the LAN needs.
func TestExplainInLAN(t *testing.T) {
	t.Parallel()
	h := newHost(t, lab.NoGuestRoute(), lab.LANPeers(1))
	v := h.startNet(t, append(boot(t), "--name", "web", "--ip", "192.0.2.77", "--no-repair")...)
	v.isWell(t)
	for _, b := range inLAN {
		t.Run(b.name, func(t *testing.T) { b.isExplained(t, v) })
	}
	h.must(t, "stop", "web")
	h.isAsBefore(t)
}

// explainsTwoCables has a second uplink to the same LAN, by which the way back
// leads, and a strict filter on the first.
func explainsTwoCables(t *testing.T, v *vm) {
	h := v.host
	err := h.Host.InNet(func() error {
		return netlink.LinkAdd(&netlink.Veth{
			LinkAttrs: netlink.LinkAttrs{Name: "eth1"}, PeerName: "port9", PeerNamespace: netlink.NsPid(h.LAN.PID),
		})
	})
	if err != nil {
		t.Fatal(err)
	}
	h.LAN.MustRun(t, "sh", "-euc", "ip link set port9 master eth0; ip link set port9 up")
	breakage{
		host: "ip link set eth1 up; sysctl -w net.ipv4.conf.eth0.rp_filter=1; ip route add " + lab.LANAddress + " dev eth1 src " + lab.HostAddress,
		hop:  "rp-filter", seen: "rp_filter of eth0 drops what comes from " + lab.LANAddress, warns: "route-out", remedy: "host",
		undoHost: "ip link del eth1; sysctl -w net.ipv4.conf.eth0.rp_filter=0",
	}.isExplained(t, v)
}

// Guests that do not have the address that is routed to them.
func TestExplainGuestWithoutItsAddress(t *testing.T) {
	t.Parallel()
	h := newHost(t)
	none := h.start(t, append(boot(t, "guest.nodhcp"), "--name", "none")...)
	wrong := h.start(t, append(boot(t, "guest.ip=static:10.254.254.77/24,10.254.254.1"), "--name", "wrong", "--dhcp", "off", "--ip", "10.254.254.40",
		"--wait", "console:guest: ready")...)
	lab.Eventually(t, patience, func() error {
		if e := h.explain(t, wrong.Name); e.Broken != "guest" || !strings.Contains(e.named("guest").Seen, "for 10.254.254.77") {
			return fmt.Errorf("of a guest with another address: %+v", e.named("guest"))
		}
		return nil
	})
	if e := h.explain(t, none.Name); e.Broken != "guest" || !strings.Contains(e.named("guest").Seen, "has not asked for it by DHCP") {
		t.Errorf("of a guest without an address: %+v", e.named("guest"))
	}
	h.must(t, "stop", "--all", "--force")
	h.isAsBefore(t)
}

// VMs that do not run, and what cannot be explained at all.
func TestExplainWithoutGuest(t *testing.T) {
	t.Parallel()
	h := newHost(t)
	v := h.start(t, frozen(t, "--name", "web")...)
	text := h.run(t, "net", "explain", "web")
	if text.ExitCode != 17 || !strings.Contains(text.Stdout, "\nweb is not reached at 10.254.254.2: the first hop that fails is vm\n") {
		t.Errorf("of a VM that stands still: %s", text)
	}
	if !strings.Contains(text.Stdout, "\nskipped  gateway: the guest stands still\n") {
		t.Errorf("of its questions: %s", text)
	}
	if said := h.fails(t, 2, "net", "explain", "web", "--with", "192.0.2.255"); !strings.Contains(said, "broadcast") {
		t.Errorf("of a broadcast address: %s", said)
	}
	for _, wrong := range [][]string{{"--with", "lan"}, {"--with", "::1"}, {"--with", lab.HostAddress}, {"--with", v.IP}, {"--with", "0.0.0.0"}, {"--with", "192.0.2.255"}, {"--with", "255.255.255.255"}, {"--with", "240.0.0.1"}, {"--timeout", "0"}} {
		h.fails(t, 2, append([]string{"net", "explain", "web"}, wrong...)...)
	}
	h.fails(t, 3, "net", "explain", "nobody")
	h.killSupervisor(t, "web")
	if e := h.explain(t, "web"); e.Broken != "vm" {
		t.Errorf("of a VM that nobody supervises and that stands still: %+v", e)
	}
	h.kill(t, "KILL", v.PID)
	h.awaitState(t, "web", "dead")
	e := h.explain(t, "web")
	if e.Broken != "vm" || len(e.Hops) != 1 {
		t.Errorf("of a dead VM: %+v", e)
	}
	h.sh(t, e.Hops[0].Remedy)
	h.fails(t, 3, "net", "explain", "web")
	h.isAsBefore(t)
}

// Without root nothing is sent.
func TestExplainNeedsRoot(t *testing.T) {
	t.Parallel()
	h := newHost(t)
	r := h.Host.Run(t, "setpriv", "--reuid", "65534", "--clear-groups", lab.Binary(t), "net", "explain", "web")
	if r.ExitCode != 5 || !strings.Contains(r.Stderr, "root is needed; run it by sudo") {
		t.Errorf("not root: %s", r)
	}
}
