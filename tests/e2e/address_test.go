package e2e

import (
	"fmt"
	"strings"
	"testing"

	"kvmrun/tests/lab"
)

// TestGuestIsTold starts guests under each DHCP server and looks at what they
// made of it.
func TestGuestIsTold(t *testing.T) {
	t.Parallel()
	for _, server := range []string{"builtin", "dnsmasq"} {
		t.Run(server, func(t *testing.T) {
			t.Parallel()
			h := newHost(t, lab.ResolvConf("search example.net\nnameserver 127.0.0.53\nnameserver 192.0.2.53\n"))
			v := h.startNet(t, append(boot(t), "--name", "web_1", "--dhcp", server, "--dns", "host", "--mtu", "1400")...)
			v.guestHas(t, "hostname", "web-1\n")
			v.guestHas(t, "cat /sys/class/net/eth0/mtu", "1400\n")
			v.guestHas(t, "cat /sys/class/net/eth0/address", v.MAC+"\n")
			v.guestHas(t, "cat /etc/resolv.conf", "nameserver 192.0.2.53\n")
			v.guestHas(t, "ip route", "default via 10.254.254.1 dev eth0")
			v.guestHas(t, "ip -4 -o addr show dev eth0", "inet 10.254.254.2/24")
			if mtu := ip[link](t, h.Host, "link", "show", "dev", v.Tap)[0].MTU; mtu != 1400 {
				t.Errorf("the tap's MTU is %d, want 1400", mtu)
			}
			h.must(t, "stop", v.Name)
			h.isAsBefore(t)
		})
	}
}

func TestNameServersThatAreAskedFor(t *testing.T) {
	t.Parallel()
	h := newHost(t)
	v := h.startNet(t, append(boot(t), "--dns", "192.0.2.54,198.51.100.53")...)
	v.guestHas(t, "cat /etc/resolv.conf", "nameserver 192.0.2.54\nnameserver 198.51.100.53\n")
	h.must(t, "stop", v.Name)
	h.isAsBefore(t)
}

// guestHas waits until a command in the guest prints a text: a guest answers at
// its address a moment before it has put all else in place that DHCP told it.
func (v *vm) guestHas(t *testing.T, command, want string) {
	t.Helper()
	lab.Eventually(t, patience, func() error {
		if got := v.sh(t, command); !strings.Contains(got, want) {
			return fmt.Errorf("in the guest, %s prints %q, want %q in it", command, got, want)
		}
		return nil
	})
}

// TestDnsmasqServesOneVMEach runs two at once, each with a dnsmasq that ends
// with its VM.
func TestDnsmasqServesOneVMEach(t *testing.T) {
	t.Parallel()
	h := newHost(t)
	a := h.startNet(t, append(boot(t), "--name", "a", "--dhcp", "dnsmasq")...)
	b := h.startNet(t, append(boot(t), "--name", "b", "--dhcp", "dnsmasq")...)
	if n := h.count(t, "dnsmasq"); n != 2 {
		t.Errorf("%d processes of dnsmasq for two VMs", n)
	}
	a.reachedFrom(t, h.LAN)
	b.reachedFrom(t, h.LAN)
	h.must(t, "stop", "a")
	if n := h.count(t, "dnsmasq"); n != 1 {
		t.Errorf("%d processes of dnsmasq for one VM", n)
	}
	h.killSupervisor(t, "b")
	h.must(t, "stop", "b")
	h.isAsBefore(t)
}

// count is the number of processes on the host with a certain command.
func (h *host) count(t *testing.T, command string) int {
	t.Helper()
	n := 0
	for _, line := range h.Host.Snapshot(t)["processes"] {
		if words := strings.Fields(line); strings.HasSuffix(words[0], command) {
			n++
		}
	}
	return n
}

// Without DHCP the guest has its address from elsewhere; kvmrun routes it all
// the same.
func TestGuestWithStaticAddress(t *testing.T) {
	t.Parallel()
	h := newHost(t)
	v := h.startNet(t, append(boot(t, "guest.ip=static:10.254.254.40/24,10.254.254.1"), "--dhcp", "off", "--ip", "10.254.254.40")...)
	v.reachedFrom(t, h.LAN)
	if logs := h.must(t, "logs", v.Name); strings.Contains(logs, "guest: lease") {
		t.Errorf("it took a lease although DHCP is off")
	}
	h.must(t, "stop", v.Name)
	h.isAsBefore(t)
}

// A guest that takes an address other than its own reaches nobody by it: the
// tap lets only its own pass (strict rp_filter).
func TestGuestCannotSpeakForAnother(t *testing.T) {
	t.Parallel()
	h := newHost(t)
	honest := h.startNet(t, append(boot(t), "--name", "honest")...)
	liar := h.startNet(t, append(boot(t), "--name", "liar")...)
	out := liar.sh(t, "ip addr add "+honest.IP+"/32 dev eth0; ping -c 2 -W 2 -I "+honest.IP+" "+lab.LANAddress)
	if !strings.Contains(out, "100% packet loss") {
		t.Errorf("a guest speaks with another's address: %s", out)
	}
	honest.reachedFrom(t, h.LAN)
	h.must(t, "stop", "--all", "--force")
	h.isAsBefore(t)
}

// A host without a default route has no uplink; its guests reach it and one
// another.
func TestHostWithoutUplink(t *testing.T) {
	t.Parallel()
	h := newHost(t, lab.NoDefaultRoute())
	r := h.run(t, startArgs(append(boot(t), "--wait", "net", "--name", "web")...)...)
	if r.ExitCode != 0 || strings.Count(r.Stderr, "no uplink") != 1 {
		t.Fatalf("the lack of an uplink is not said once: %s", r)
	}
	v := h.list(t)[0]
	v.host = h
	v.reachedFrom(t, h.Host)
	if proxies := ip[entry](t, h.Host, "neigh", "show", "proxy"); len(proxies) > 0 {
		t.Errorf("there are proxy entries without an uplink: %+v", proxies)
	}
	h.must(t, "stop", "web")
	h.isAsBefore(t)
}

// TestRoutersAreNotChosen counts upward past the next hops of the host's routes,
// and takes none that is asked for.
func TestRoutersAreNotChosen(t *testing.T) {
	t.Parallel()
	h := newHost(t)
	h.sh(t, "ip route add 203.0.113.0/24 via 192.0.2.2; ip route add 198.51.100.0/24 via 192.0.2.3 table 77")
	h.before = h.Host.Snapshot(t)
	if v := h.start(t, frozen(t, "--subnet", "192.0.2.0/28")...); v.IP != "192.0.2.4" {
		t.Errorf("%s was chosen, want the first address that is no router's", v.IP)
	}
	h.fails(t, 9, startArgs(frozen(t, "--ip", "192.0.2.3")...)...)
	h.must(t, "stop", "--all", "--force")
	h.isAsBefore(t)
}
