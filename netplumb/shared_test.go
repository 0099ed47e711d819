package netplumb

import (
	"context"
	"fmt"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// guest returns the configuration of a further guest beside another.
func guest(c Config, addr, tap string) Config {
	c.Address, c.Tap = netip.MustParseAddr(addr), tap
	c.MAC = MACFor(c.Address)
	return c
}

func TestLastHolderRestores(t *testing.T) {
	if !ownNamespace(t) {
		return
	}
	l := newLab(t)
	l.sh("sysctl -q -w net.ipv4.neigh.eth0.proxy_delay=37")
	before := l.state()
	p, q := l.plan(subnetConfig()), l.plan(guest(subnetConfig(), "10.254.254.3", "kvm-db"))
	first, second := l.apply(p), l.apply(q)
	closeAll(first)
	l.undo(p)
	l.undo(p)
	l.allWell(q)
	closeAll(second)
	l.undo(q)
	l.unchanged(before)
}

// TestWhatOthersMade puts there beforehand what kvmrun would have made, looking
// just the same. It must serve, and stay.
func TestWhatOthersMade(t *testing.T) {
	if !ownNamespace(t) {
		return
	}
	for name, decoy := range map[string]string{
		"alias":       "ip address add 10.254.254.1/32 dev eth0 label eth0:0",
		"proxy entry": "ip neigh add proxy 10.254.254.2 dev eth0 nud permanent",
		"sysctls":     "sysctl -q -w net.ipv4.conf.eth0.forwarding=1 net.ipv4.neigh.eth0.proxy_delay=0 net.ipv4.conf.eth0.proxy_arp=1",
		"the gateway": "ip link add br0 type veth peer name br1; ip address add 10.254.254.1/32 dev br0",
		"neighbours": `ip neigh add proxy 10.254.254.3 dev eth0 nud permanent
ip address add 10.254.254.9/32 dev eth0 label eth0:1
ip route add 10.254.254.3/32 dev eth0
ip tuntap add dev kvm-web2 mode tap
ip link set dev kvm-web2 group 21076 alias "kvmrun web it's" up`,
	} {
		t.Run(name, func(t *testing.T) {
			for _, c := range []Config{subnetConfig(), func() Config { c := subnetConfig(); c.ProxyARP = ProxyInterface; return c }()} {
				l := newLab(t)
				l.sh(decoy)
				before := l.state()
				p := l.plan(c)
				files := l.apply(p)
				l.allWell(p)
				closeAll(files)
				l.undo(p)
				l.unchanged(before)
				l.sh("ip link delete eth0; ip link delete br0 2>/dev/null || :; ip link delete kvm-web2 2>/dev/null || :")
			}
		})
	}
}

// TestWhatOthersPutInOurPlace replaces what kvmrun made by something of the
// same look, or changes it, while a guest runs.
func TestWhatOthersPutInOurPlace(t *testing.T) {
	if !ownNamespace(t) {
		return
	}
	for name, c := range map[string]struct{ change, keeps string }{
		"alias":       {"ip address delete 10.254.254.1/32 dev eth0; ip address add 10.254.254.1/32 dev eth0 label eth0:0", "ip -4 address show label eth0:0"},
		"proxy entry": {"ip neigh delete proxy 10.254.254.2 dev eth0; ip neigh add proxy 10.254.254.2 dev eth0 nud permanent", "ip neigh show proxy"},
		"sysctl":      {"sysctl -q -w net.ipv4.neigh.eth0.proxy_delay=12", "sysctl net.ipv4.neigh.eth0.proxy_delay"},
		"tap":         {"ip link delete kvm-web; ip tuntap add dev kvm-web mode tap", "ip link show kvm-web"},
		"tap's alias": {"ip link delete kvm-web; ip tuntap add dev kvm-web mode tap; ip link set kvm-web group 21076 alias other", "ip link show kvm-web"},
		"tap's group": {`ip link delete kvm-web; ip tuntap add dev kvm-web mode tap; ip link set kvm-web group 1 alias "kvmrun web it's"`, "ip link show kvm-web"},
	} {
		t.Run(name, func(t *testing.T) {
			l := newLab(t)
			defer l.sh("ip link delete eth0; ip link delete kvm-web 2>/dev/null || :")
			p := l.plan(subnetConfig())
			files := l.apply(p)
			l.sh(c.change)
			want := l.sh(c.keeps)
			closeAll(files)
			l.undo(p)
			if got := l.sh(c.keeps); got != want || got == "" {
				t.Errorf("%s is no longer there:\n%s%s", c.keeps, got, want)
			}
		})
	}
}

// TestChangedBackAndWantedAgain has an administrator revert a setting under a
// running guest. The next guest changes it again, and what the administrator
// chose is what returns.
func TestChangedBackAndWantedAgain(t *testing.T) {
	if !ownNamespace(t) {
		return
	}
	l := newLab(t)
	p, q := l.plan(subnetConfig()), l.plan(guest(subnetConfig(), "10.254.254.3", "kvm-db"))
	first := l.apply(p)
	l.sh("sysctl -q -w net.ipv4.neigh.eth0.proxy_delay=56")
	second := l.apply(q)
	if got := strings.TrimSpace(l.sh("sysctl -n net.ipv4.neigh.eth0.proxy_delay")); got != "0" {
		t.Errorf("the second guest has proxy_delay %s", got)
	}
	closeAll(first)
	closeAll(second)
	l.undo(p)
	l.undo(q)
	if got := strings.TrimSpace(l.sh("sysctl -n net.ipv4.neigh.eth0.proxy_delay")); got != "56" {
		t.Errorf("proxy_delay %s was restored, not the administrator's 56", got)
	}
}

// TestUplinkVanishes undoes after the uplink and all on it have gone, and again
// when one of the same name is there with its defaults.
func TestUplinkVanishes(t *testing.T) {
	if !ownNamespace(t) {
		return
	}
	l := newLab(t)
	p := l.plan(subnetConfig())
	files := l.apply(p)
	l.sh("ip link delete eth0")
	l.undo(p)
	closeAll(files)
	if rest, _ := filepath.Glob(filepath.Join(l.dir, "*", "*")); len(rest) > 0 {
		t.Errorf("left in the journal: %q", rest)
	}

	l = newLab(t)
	p = l.plan(subnetConfig())
	files = l.apply(p)
	l.sh("ip link delete eth0; ip link add eth0 type veth peer name lan0; ip link set eth0 up")
	before := l.sh("sysctl -a -r '^net.ipv4.(conf|neigh).eth0.' 2>/dev/null; ip address show eth0")
	l.undo(p)
	closeAll(files)
	if after := l.sh("sysctl -a -r '^net.ipv4.(conf|neigh).eth0.' 2>/dev/null; ip address show eth0"); after != before {
		t.Errorf("the new uplink was changed from %s to %s", before, after)
	}
}

// TestUplinkIsRenamed gives the uplink another name while guests run, and its old
// name to a stranger that looks just as kvmrun would have left it. Guests that
// come later know the uplink by its new name.
func TestUplinkIsRenamed(t *testing.T) {
	if !ownNamespace(t) {
		return
	}
	l := newLab(t)
	before := l.sh("sysctl -a -r '^net.ipv4.(conf|neigh).eth0.' 2>/dev/null; ip -o -4 address show dev eth0; ip neigh show proxy dev eth0")
	p := l.plan(subnetConfig())
	first := l.apply(p)
	l.sh(`ip link set eth0 down; ip link set eth0 name up0; ip link set up0 up
ip link add eth0 type veth peer name stranger
ip address add 10.254.254.1/32 dev eth0 label eth0:0
sysctl -q -w net.ipv4.conf.eth0.forwarding=1 net.ipv4.neigh.eth0.proxy_delay=0
ip neigh add proxy 10.254.254.2 dev eth0 nud permanent`)
	const look = "sysctl -a -r '^net.ipv4.(conf|neigh).eth0.' 2>/dev/null; ip -o -4 address show dev eth0; ip neigh show proxy dev eth0"
	strangers := l.sh(look)
	c := guest(subnetConfig(), "10.254.254.3", "kvm-db")
	c.Uplink = "up0"
	q := l.plan(c)
	second := l.apply(q)
	closeAll(first)
	l.undo(p)
	l.allWell(q)
	closeAll(second)
	l.undo(q)
	if got := l.sh(look); got != strangers {
		t.Errorf("what has the uplink's old name was changed from\n%sto\n%s", strangers, got)
	}
	l.sh("ip link delete eth0; ip link set up0 down; ip link set up0 name eth0; ip link set eth0 up")
	if got := l.sh(look); got != before {
		t.Errorf("the uplink was\n%sand is\n%s", before, got)
	}
}

// TestForwardingOfAllIsSwitchedOn has an administrator, or Docker, make a router
// of the host while a guest runs. The uplink then forwards by their word.
func TestForwardingOfAllIsSwitchedOn(t *testing.T) {
	if !ownNamespace(t) {
		return
	}
	for name, c := range map[string]struct{ before, meanwhile, want string }{
		"switched on":      {"", "sysctl -q -w net.ipv4.ip_forward=1", "1"},
		"on and off again": {"", "sysctl -q -w net.ipv4.ip_forward=1; sysctl -q -w net.ipv4.ip_forward=0", "0"},
		"off on eth0":      {"sysctl -q -w net.ipv4.ip_forward=1 net.ipv4.conf.eth0.forwarding=0", "", "0"},
		"switched off":     {"sysctl -q -w net.ipv4.ip_forward=1 net.ipv4.conf.eth0.forwarding=0", "sysctl -q -w net.ipv4.ip_forward=0", "0"},
	} {
		t.Run(name, func(t *testing.T) {
			l := newLab(t)
			defer l.sh("ip link delete eth0; sysctl -q -w net.ipv4.ip_forward=0")
			l.sh(c.before)
			p := l.plan(subnetConfig())
			files := l.apply(p)
			l.sh(c.meanwhile)
			closeAll(files)
			l.undo(p)
			if got := strings.TrimSpace(l.sh("sysctl -n net.ipv4.conf.eth0.forwarding")); got != c.want {
				t.Errorf("forwarding of eth0 is %s, want %s", got, c.want)
			}
		})
	}
}

// TestUplinkByAnotherName names the uplink by its altname.
func TestUplinkByAnotherName(t *testing.T) {
	if !ownNamespace(t) {
		return
	}
	l := newLab(t)
	l.sh("ip link property add dev eth0 altname enp0s31f6-with-a-long-name")
	f, err := l.Facts("enp0s31f6-with-a-long-name", netip.Addr{})
	if err == nil || f.Uplink.Name != "" {
		t.Errorf("a name that is too long for scripts is taken: %+v, %v", f.Uplink, err)
	}
	l.sh("ip link property add dev eth0 altname lan-port")
	f, err = l.Facts("lan-port", netip.Addr{})
	if err != nil || f.Uplink.Name != "eth0" {
		t.Errorf("lan-port is %q (%v), want eth0", f.Uplink.Name, err)
	}
}

// TestPeerAddressIsNoLAN puts a point-to-point address on the uplink: the peer's
// network is none in which guests could be neighbours.
func TestPeerAddressIsNoLAN(t *testing.T) {
	if !ownNamespace(t) {
		return
	}
	l := newLab(t)
	l.sh("ip address add 10.9.0.1 peer 10.9.1.1/24 dev eth0")
	f, err := l.Facts("eth0", netip.Addr{})
	if err != nil {
		t.Fatal(err)
	}
	for _, addr := range []string{"10.9.0.50", "10.9.1.50"} {
		if lan, ok := f.LAN(netip.MustParseAddr(addr)); ok {
			t.Errorf("%s is taken to lie in the LAN %s", addr, lan.Prefix)
		}
	}
}

// TestCarrierFlap makes sure that proxy entries outlive a loss of carrier.
func TestCarrierFlap(t *testing.T) {
	if !ownNamespace(t) {
		return
	}
	l := newLab(t)
	p := l.plan(subnetConfig())
	l.apply(p)
	l.sh("ip neigh add 192.168.1.77 dev eth0 lladdr 02:00:00:00:00:01 nud reachable")
	l.sh("ip link set lan0 down")
	// The kernel drops what is not permanent when it notices the carrier:
	// this ordinary neighbour tells that it has.
	l.sh("for i in $(seq 500); do ip neigh show to 192.168.1.77 dev eth0 | grep -q . || exit 0; sleep 0.01; done; exit 1")
	l.allWell(p)
	l.sh("ip link set lan0 up")
	l.allWell(p)
}

// TestManyAtOnce has 20 processes apply and undo over and over, each a guest of
// its own behind the same gateway.
func TestManyAtOnce(t *testing.T) {
	if !ownNamespace(t) {
		return
	}
	const variable = "NETPLUMB_TEST_WORKER"
	if spec := os.Getenv(variable); spec != "" {
		applyAndUndoRepeatedly(t, spec)
		return
	}
	l := newLab(t)
	l.sh("sysctl -q -w net.ipv4.neigh.eth0.proxy_delay=37")
	before := l.state()
	var workers []*exec.Cmd
	var logs []*strings.Builder
	for n := range 20 {
		cmd := exec.Command("/proc/self/exe", "-test.run=^TestManyAtOnce$", "-test.v")
		cmd.Env = append(os.Environ(), fmt.Sprintf("%s=%d:%s", variable, n, l.dir))
		log := new(strings.Builder)
		cmd.Stdout, cmd.Stderr = log, log
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		workers, logs = append(workers, cmd), append(logs, log)
	}
	for n, cmd := range workers {
		if err := cmd.Wait(); err != nil {
			t.Errorf("worker %d: %v\n%s", n, err, logs[n])
		}
	}
	l.unchanged(before)
}

func applyAndUndoRepeatedly(t *testing.T, spec string) {
	var n int
	var dir string
	if _, err := fmt.Sscanf(strings.Replace(spec, ":", " ", 1), "%d %s", &n, &dir); err != nil {
		t.Fatal(err)
	}
	h, err := OpenHost(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = h.Close() }()
	l := &lab{TB: t, Host: h, dir: dir}
	for range 5 {
		c := guest(subnetConfig(), fmt.Sprintf("10.254.254.%d", 10+n), fmt.Sprintf("kvm-%d", n))
		if n%2 == 1 {
			c.ProxyARP = ProxyInterface
		}
		p := l.plan(c)
		files, err := p.Apply(context.Background(), h)
		if err != nil {
			t.Fatal(err)
		}
		l.allWell(p)
		closeAll(files)
		l.undo(p)
	}
}
