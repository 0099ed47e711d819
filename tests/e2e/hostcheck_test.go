package e2e

import (
	"strings"
	"testing"
	"time"
)

// finding is an entry of kvmrun host check --json.
type finding struct {
	VM, Name, Status, Want, Have, Remedy string
}

// check runs host check and returns what is not well.
func (h *host) check(t *testing.T, status int) []finding {
	t.Helper()
	r := h.run(t, "host", "check", "--json")
	if r.ExitCode != status {
		t.Errorf("host check: exit status %d, want %d", r.ExitCode, status)
	}
	var all, bad []finding
	decode(t, r.Stdout, &all)
	for _, f := range all {
		if f.Status == "fail" {
			bad = append(bad, f)
		}
	}
	return bad
}

// TestHostCheckFindsWhatIsWrong takes one thing after another from a VM's
// network; the remedy that is named mends it.
func TestHostCheckFindsWhatIsWrong(t *testing.T) {
	t.Parallel()
	h := newHost(t)
	if bad := h.check(t, 0); len(bad) > 0 {
		t.Fatalf("on a host without VMs: %+v", bad)
	}
	v := h.startNet(t, append(boot(t), "--name", "web", "--no-repair")...)
	if bad := h.check(t, 0); len(bad) > 0 {
		t.Fatalf("with a VM: %+v", bad)
	}
	for _, c := range []struct{ damage, name string }{
		{"ip route del " + v.IP + " dev kr-web", "route to " + v.IP},
		{"ip neigh del proxy " + v.IP + " dev eth0", "proxy ARP for " + v.IP},
		{"ip neigh del " + v.IP + " dev kr-web", "neighbour " + v.IP},
		{"ip neigh replace " + v.IP + " lladdr 02:00:00:00:00:01 nud permanent dev kr-web", "neighbour " + v.IP},
		{"ip addr del 10.254.254.1/32 dev kr-web", "address 10.254.254.1"},
		{"ip addr del 10.254.254.1/32 dev eth0", "10.254.254.1"},
		{"echo 0 >/proc/sys/net/ipv4/conf/eth0/forwarding", "forwarding"},
		{"echo 80 >/proc/sys/net/ipv4/neigh/eth0/proxy_delay", "proxy_delay"},
		{"echo 0 >/proc/sys/net/ipv4/conf/kr-web/rp_filter", "kr-web"},
		{"echo 0 >/proc/sys/net/ipv4/conf/kr-web/proxy_arp", "kr-web"},
	} {
		h.sh(t, c.damage)
		bad := h.check(t, 15)
		if len(bad) == 0 || !strings.Contains(bad[0].Name, c.name) {
			t.Fatalf("after %s: %+v", c.damage, bad)
		}
		// The kernel takes the routes from an address along with it, so that
		// there may be more to mend.
		for _, f := range bad {
			if f.VM != "web" || f.Remedy == "" {
				t.Errorf("after %s: %+v", c.damage, f)
			}
			h.sh(t, f.Remedy)
		}
		if bad := h.check(t, 0); len(bad) > 0 {
			t.Errorf("after %s and its remedy: %+v", c.damage, bad)
		}
	}
	v.reachedFrom(t, h.LAN)
	h.killSupervisor(t, "web")
	if bad := h.check(t, 15); len(bad) != 1 || bad[0].VM != "web" || bad[0].Name != "supervisor" {
		t.Errorf("without a supervisor: %+v", bad)
	}
	h.must(t, "stop", "web")
	h.isAsBefore(t)
}

// What a dnsmasq does is no fault of the VM's network.
func TestHostCheckWithDnsmasq(t *testing.T) {
	t.Parallel()
	h := newHost(t)
	v := h.startNet(t, append(boot(t), "--name", "web", "--dhcp", "dnsmasq")...)
	if bad := h.check(t, 0); len(bad) > 0 {
		t.Errorf("with a dnsmasq: %+v", bad)
	}
	h.must(t, "stop", v.Name)
	h.isAsBefore(t)
}

// TestHostCheckFindsFirewall has a firewall drop what is forwarded, as Docker
// does.
func TestHostCheckFindsFirewall(t *testing.T) {
	t.Parallel()
	h := newHost(t)
	v := h.startNet(t, append(boot(t), "--name", "web")...)
	v.reachedFrom(t, h.LAN)
	h.sh(t, `nft -f - <<'END'
table inet firewall {
	chain forward { type filter hook forward priority filter; policy drop; }
}
END`)
	bad := h.check(t, 15)
	if len(bad) != 1 || bad[0].Name != "forward" || !strings.Contains(bad[0].Have, "drop") || bad[0].Remedy == "" {
		t.Fatalf("a FORWARD policy of DROP: %+v", bad)
	}
	if err := h.LAN.Ping(v.IP, time.Second); err == nil {
		t.Error("the guest is reached through a firewall that drops everything")
	}
	h.sh(t, bad[0].Remedy)
	v.reachedFrom(t, h.LAN)
	h.check(t, 0)
	h.must(t, "stop", "web")
	h.sh(t, "nft delete table inet firewall")
	h.isAsBefore(t)
}
