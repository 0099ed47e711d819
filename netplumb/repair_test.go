package netplumb

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// repair repairs a plan and returns what was not as it should be.
func (l *lab) repair(p *Plan, may func(string) bool) []Repair {
	l.Helper()
	repairs, err := p.Repair(context.Background(), l.Host, may)
	if err != nil {
		l.Fatal(err)
	}
	return repairs
}

// breakages are what other programs do, each with the steps that it disturbs.
var breakages = []struct {
	command string
	steps   []string
}{
	{"ip link set kvm-web down", []string{"settings of kvm-web", "route to 10.254.254.2 by kvm-web", "neighbour 10.254.254.2 on kvm-web"}},
	{"sysctl -q -w net.ipv4.conf.kvm-web.rp_filter=2", []string{"settings of kvm-web"}},
	{"sysctl -q -w net.ipv4.conf.kvm-web.proxy_arp=0", []string{"settings of kvm-web"}},
	{"sysctl -q -w net.ipv4.conf.kvm-web.forwarding=0", []string{"settings of kvm-web"}},
	{"sysctl -q -w net.ipv4.neigh.kvm-web.proxy_delay=80", []string{"settings of kvm-web"}},
	{"sysctl -q -w net.ipv6.conf.kvm-web.disable_ipv6=0", []string{"settings of kvm-web"}},
	{"ip link set kvm-web mtu 1400", []string{"settings of kvm-web"}},
	// The kernel does without IPv4 on an interface that loses its last address.
	{"ip address delete 10.254.254.1/32 dev kvm-web", []string{"address 10.254.254.1 on kvm-web", "route to 10.254.254.2 by kvm-web", "neighbour 10.254.254.2 on kvm-web"}},
	{"ip route delete 10.254.254.2", []string{"route to 10.254.254.2 by kvm-web"}},
	{"ip route replace 10.254.254.2 dev kvm-web", []string{"route to 10.254.254.2 by kvm-web"}},
	{"ip neigh delete 10.254.254.2 dev kvm-web", []string{"neighbour 10.254.254.2 on kvm-web"}},
	{"ip neigh replace 10.254.254.2 lladdr 02:00:00:00:00:01 dev kvm-web", []string{"neighbour 10.254.254.2 on kvm-web"}},
	{"sysctl -q -w net.ipv4.conf.eth0.forwarding=0", []string{"sysctl net.ipv4.conf.eth0.forwarding"}},
	{"sysctl -q -w net.ipv4.ip_forward=1; sysctl -q -w net.ipv4.ip_forward=0", []string{"settings of kvm-web", "sysctl net.ipv4.conf.eth0.forwarding"}},
	{"ip neigh delete proxy 10.254.254.2 dev eth0", []string{"proxy ARP for 10.254.254.2 on eth0"}},
	{"ip link set eth0 down; ip link set eth0 up; ip route add default via 192.168.1.1", []string{"proxy ARP for 10.254.254.2 on eth0"}},
	{"ip address delete 10.254.254.1/32 dev eth0", []string{"address 10.254.254.1 on eth0"}},
}

// TestRepair breaks one thing after another. Each is found, mended and, in the
// end, undone.
func TestRepair(t *testing.T) {
	if !ownNamespace(t) {
		return
	}
	l := newLab(t)
	before := l.state()
	p := l.plan(subnetConfig())
	files := l.apply(p)
	for _, b := range breakages {
		l.sh(b.command)
		var steps []string
		for _, r := range l.repair(p, nil) {
			steps = append(steps, r.Step)
			if r.Err != nil || r.OK || r.Have == r.Want {
				t.Errorf("%s: %+v", b.command, r)
			}
		}
		if !slices.Equal(steps, b.steps) {
			t.Errorf("%s: repaired %q, want %q", b.command, steps, b.steps)
		}
		l.allWell(p)
		if again := l.repair(p, nil); len(again) > 0 {
			t.Errorf("%s: repaired twice: %+v", b.command, again)
		}
	}
	closeAll(files)
	l.undo(p)
	l.unchanged(before)
}

// TestRepairIsNotAllowed leaves things broken, and says so.
func TestRepairIsNotAllowed(t *testing.T) {
	if !ownNamespace(t) {
		return
	}
	l := newLab(t)
	p := l.plan(subnetConfig())
	l.apply(p)
	l.sh("ip route delete 10.254.254.2; ip neigh delete proxy 10.254.254.2 dev eth0")
	before := l.state()
	var asked []string
	found := l.repair(p, func(step string) bool { asked = append(asked, step); return false })
	l.unchanged(before)
	if len(found) != 2 || len(asked) != 2 || !errors.Is(found[0].Err, ErrLeft) || !errors.Is(found[1].Err, ErrLeft) {
		t.Errorf("asked about %q, found %+v", asked, found)
	}
}

// TestOthersAreNotRepairedAway puts something of somebody else's in the place of
// kvmrun's. What serves is left, what does not is reported.
func TestOthersAreNotRepairedAway(t *testing.T) {
	if !ownNamespace(t) {
		return
	}
	for name, c := range map[string]struct {
		change, keeps string
		want          error
	}{
		"alias":       {"ip address delete 10.254.254.1/32 dev eth0; ip address add 10.254.254.1/32 dev eth0 label eth0:7", "ip -4 address show label eth0:7", nil},
		"proxy entry": {"ip neigh delete proxy 10.254.254.2 dev eth0; ip neigh add proxy 10.254.254.2 dev eth0 nud permanent", "ip neigh show proxy", nil},
		"route":       {"ip route replace 10.254.254.2 dev lan0", "ip route show 10.254.254.2", ErrAddressRouted},
		"blackhole":   {"ip route delete 10.254.254.2; ip route add blackhole 10.254.254.2", "ip route show 10.254.254.2", ErrAddressRouted},
		"tap":         {"ip link delete kvm-web; ip tuntap add dev kvm-web mode tap", "ip -d link show kvm-web; ip neigh show proxy; sysctl net.ipv4.conf.kvm-web", ErrTapLost},
		"no tap":      {"ip link delete kvm-web; ip neigh delete proxy 10.254.254.2 dev eth0", "ip -o link | cut -c1-12; ip neigh show proxy; sysctl net.ipv4.conf", ErrTapLost},
	} {
		t.Run(name, func(t *testing.T) {
			l := newLab(t)
			defer l.sh("ip link delete eth0; ip link delete kvm-web 2>/dev/null || :; ip route flush 10.254.254.2")
			p := l.plan(subnetConfig())
			files := l.apply(p)
			defer closeAll(files)
			l.sh(c.change)
			before := l.sh(c.keeps)
			found := l.repair(p, nil)
			if after := l.sh(c.keeps); after != before {
				t.Errorf("%s was\n%sand is\n%s", c.keeps, before, after)
			}
			if c.want == nil && len(found) > 0 || c.want != nil && (len(found) != 1 || !errors.Is(found[0].Err, c.want)) {
				t.Errorf("found %+v, want %v", found, c.want)
			}
			l.undo(p)
		})
	}
}

// TestRepairedSettingReturns has an administrator change what guests share. It
// is changed again for as long as they run, and the administrator's value is the
// one that returns.
func TestRepairedSettingReturns(t *testing.T) {
	if !ownNamespace(t) {
		return
	}
	l := newLab(t)
	p, q := l.plan(subnetConfig()), l.plan(guest(subnetConfig(), "10.254.254.3", "kvm-db"))
	first, second := l.apply(p), l.apply(q)
	l.sh("sysctl -q -w net.ipv4.neigh.eth0.proxy_delay=56")
	for _, guest := range []*Plan{q, p} {
		l.repair(guest, nil)
		l.allWell(p)
	}
	closeAll(first)
	l.undo(p)
	l.allWell(q)
	closeAll(second)
	l.undo(q)
	if got := strings.TrimSpace(l.sh("sysctl -n net.ipv4.neigh.eth0.proxy_delay")); got != "56" {
		t.Errorf("proxy_delay %s was restored, not the administrator's 56", got)
	}
}

// TestWhatWasNobodysIsHeld has a setting that was as wanted by itself changed
// under two guests. The one that does not repair it holds it all the same.
func TestWhatWasNobodysIsHeld(t *testing.T) {
	if !ownNamespace(t) {
		return
	}
	l := newLab(t)
	l.sh("sysctl -q -w net.ipv4.neigh.eth0.proxy_delay=0")
	p, q := l.plan(subnetConfig()), l.plan(guest(subnetConfig(), "10.254.254.3", "kvm-db"))
	first, second := l.apply(p), l.apply(q)
	l.sh("sysctl -q -w net.ipv4.neigh.eth0.proxy_delay=56")
	l.repair(p, nil)
	l.repair(q, nil)
	closeAll(first)
	l.undo(p)
	l.allWell(q)
	closeAll(second)
	l.undo(q)
	if got := strings.TrimSpace(l.sh("sysctl -n net.ipv4.neigh.eth0.proxy_delay")); got != "56" {
		t.Errorf("proxy_delay is %s, want the administrator's 56", got)
	}
}

// journal is what the journal has of the uplink with a number.
func (l *lab) journal(uplink int) []string {
	l.Helper()
	entries, err := filepath.Glob(filepath.Join(l.dir, uplinkKey(uplink, "*")))
	if err != nil {
		l.Fatal(err)
	}
	return entries
}

// newUplink are commands that make another uplink of the name.
func newUplink(address string) string {
	return "ip link add eth0 type veth peer name lan0; ip link set lan0 up; ip link set eth0 up; ip address add " + address + " dev eth0"
}

// TestUplinkComesBack in each situation, for two guests: each moves to the new
// one, nothing of the old one is left in the journal, and undoing leaves the new
// one as it was found.
func TestUplinkComesBack(t *testing.T) {
	if !ownNamespace(t) {
		return
	}
	for name, c := range situations() {
		if c.Uplink == "" {
			continue
		}
		t.Run(name, func(t *testing.T) {
			l := newLab(t)
			defer l.sh("ip link delete eth0")
			other := guest(c, "10.254.254.3", "kvm-db")
			if !c.Subnet.Contains(other.Address) {
				other = guest(c, "192.168.1.51", "kvm-db")
			}
			plans := []*Plan{l.plan(c), l.plan(other)}
			var files []*os.File
			for _, p := range plans {
				files = append(files, l.apply(p)...)
			}
			l.sh("ip link delete eth0")
			for _, p := range plans {
				if _, err := p.Renew(l.Host); !errors.Is(err, ErrNoUplink) {
					t.Errorf("without an uplink: %v", err)
				}
				for _, r := range l.repair(p, nil) {
					// In a LAN the host's address went with the uplink.
					if r.Err != nil {
						t.Errorf("without an uplink: %+v", r)
					}
				}
			}
			l.sh(newUplink("192.168.1.10/24"))
			const look = "sysctl -a -r '^net.ipv4.(conf|neigh).eth0.' 2>/dev/null; ip -4 address show dev eth0 | sed s/LOWERLAYERDOWN/UP/; ip neigh show proxy"
			before := l.sh(look)
			for i, p := range plans {
				next, err := p.Renew(l.Host)
				if err != nil {
					t.Fatal(err)
				}
				if next.UplinkIndex == p.UplinkIndex {
					t.Fatal("the plan has not moved")
				}
				if err := p.Leave(l.Host, next); err != nil {
					t.Fatal(err)
				}
				l.repair(next, nil)
				l.allWell(next)
				if again, err := next.Renew(l.Host); again != next {
					t.Errorf("moved again: %+v, %v", again, err)
				}
				if i == 1 && len(l.journal(p.UplinkIndex)) > 0 {
					t.Errorf("left in the journal: %q", l.journal(p.UplinkIndex))
				}
				plans[i] = next
			}
			l.allWell(plans[0])
			for _, p := range plans {
				l.undo(p)
			}
			closeAll(files)
			if after := l.sh(look); after != before {
				t.Errorf("the new uplink was\n%sand is\n%s", before, after)
			}
			if rest, _ := filepath.Glob(filepath.Join(l.dir, "*", "*")); len(rest) > 0 {
				t.Errorf("left in the journal: %q", rest)
			}
		})
	}
}

// TestUplinkIsMendedByHand when it has come back and nobody moves to it: the remedies
// are for the new one, and what they have added for this guest alone goes with it.
func TestUplinkIsMendedByHand(t *testing.T) {
	if !ownNamespace(t) {
		return
	}
	for _, c := range []Config{subnetConfig(), lanConfig()} {
		t.Run(string(c.ProxyARP)+c.Address.String(), func(t *testing.T) {
			l := newLab(t)
			defer l.sh("ip link delete eth0")
			p := l.plan(c)
			files := l.apply(p)
			l.sh("ip link delete eth0")
			for i, f := range p.Review(l.Host) {
				if i >= len(p.tapSteps()) && (f.OK || f.Have != "eth0 is gone" || f.Remedy != "") {
					t.Errorf("without an uplink: %+v", f)
				}
			}
			l.sh(newUplink("192.168.1.10/24"))
			mended := 0
			for _, f := range p.Review(l.Host) {
				if !f.OK {
					l.sh(f.Remedy)
					mended++
				}
			}
			if mended == 0 {
				t.Error("all is well on an uplink that is new")
			}
			l.allWell(p)
			l.undo(p)
			closeAll(files)
			if left := l.sh("ip neigh show proxy"); left != "" {
				t.Errorf("left: %s", left)
			}
			if rest, _ := filepath.Glob(filepath.Join(l.dir, "*", "*")); len(rest) > 0 {
				t.Errorf("left in the journal: %q", rest)
			}
		})
	}
}

// TestUplinkComesBackAsAnother with addresses that do not suit the guest.
func TestUplinkComesBackAsAnother(t *testing.T) {
	if !ownNamespace(t) {
		return
	}
	for name, c := range map[string]struct {
		config  Config
		address string
	}{
		"another LAN":     {lanConfig(), "192.168.7.10/24"},
		"the LAN's half":  {lanConfig(), "192.168.1.10/25"},
		"subnet is a LAN": {subnetConfig(), "10.254.254.77/24"},
	} {
		t.Run(name, func(t *testing.T) {
			l := newLab(t)
			defer l.sh("ip link delete eth0")
			p := l.plan(c.config)
			files := l.apply(p)
			l.sh("ip link delete eth0; " + newUplink(c.address))
			before := l.sh("sysctl -a -r '^net.ipv4.(conf|neigh).eth0.' 2>/dev/null; ip neigh show proxy")
			if _, err := p.Renew(l.Host); !errors.Is(err, ErrUplinkUnfit) {
				t.Errorf("error %v, want %v", err, ErrUplinkUnfit)
			}
			l.repair(p, nil)
			l.undo(p)
			closeAll(files)
			if after := l.sh("sysctl -a -r '^net.ipv4.(conf|neigh).eth0.' 2>/dev/null; ip neigh show proxy"); after != before {
				t.Errorf("the new uplink was\n%sand is\n%s", before, after)
			}
		})
	}
}

// TestHostGetsAnotherAddress in the guest's LAN, as by DHCP. The old one may be
// another machine's soon: it must not stay on the tap.
func TestHostGetsAnotherAddress(t *testing.T) {
	if !ownNamespace(t) {
		return
	}
	l := newLab(t)
	before := l.state()
	p := l.plan(lanConfig())
	files := l.apply(p)
	l.sh("ip address delete 192.168.1.10/24 dev eth0; ip address add 192.168.1.11/24 brd + dev eth0; ip route replace default via 192.168.1.1")
	next, err := p.Renew(l.Host)
	if err != nil {
		t.Fatal(err)
	}
	if err := p.Leave(l.Host, next); err != nil {
		t.Fatal(err)
	}
	l.repair(next, nil)
	l.allWell(next)
	if found := l.sh("ip -o -4 address show to 192.168.1.10"); found != "" {
		t.Errorf("the host still has its old address: %s", found)
	}
	l.undo(next)
	closeAll(files)
	l.sh("ip address delete 192.168.1.11/24 dev eth0; ip address add 192.168.1.10/24 brd + dev eth0; ip route replace default via 192.168.1.1")
	l.unchanged(before)
}

// TestLookAtUplink sees what calls for an announcement.
func TestLookAtUplink(t *testing.T) {
	if !ownNamespace(t) {
		return
	}
	l := newLab(t)
	p := l.plan(subnetConfig())
	look := func() UplinkLook {
		t.Helper()
		at, err := p.LookAtUplink(l.Host)
		if err != nil {
			t.Fatal(err)
		}
		return at
	}
	first := look()
	if first != look() || !first.Carrier || first.Index != p.UplinkIndex || first.MAC == (MAC{}) {
		t.Errorf("at first %+v", first)
	}
	l.sh("ip link set eth0 address 02:00:00:00:00:09")
	if now := look(); now.MAC.String() != "02:00:00:00:00:09" {
		t.Errorf("with another MAC %+v", now)
	}
	l.sh("ip link set lan0 down")
	for look().Carrier {
	}
	l.sh("ip link set lan0 up")
	for !look().Carrier {
	}
	if now := look(); now.CameUp <= first.CameUp {
		t.Errorf("a flap is not seen: first %+v, now %+v", first, now)
	}
}
