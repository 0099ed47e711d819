package e2e

import (
	"strings"
	"testing"

	"kvmrun/tests/lab"
)

// In a subnet of its own the guest is reached by a route to the host.
func TestGuestsOfOwnSubnetReachAll(t *testing.T) {
	t.Parallel()
	h := newHost(t, lab.LANPeers(1))
	a := h.startNet(t, append(boot(t), "--name", "a")...)
	b := h.startNet(t, append(boot(t), "--name", "b")...)
	if a.IP != "10.254.254.2" || b.IP != "10.254.254.3" {
		t.Errorf("addresses are %s and %s, want the first two", a.IP, b.IP)
	}
	for _, w := range []*lab.World{h.LAN, h.Host, h.Peers[0]} {
		a.reachedFrom(t, w)
	}
	a.reaches(t, "10.254.254.1", lab.HostAddress, lab.LANAddress, "192.0.2.2", b.IP)
	b.reaches(t, a.IP)
	h.must(t, "stop", "--all")
	h.isAsBefore(t)
}

// As an address of the LAN the guest is everybody's neighbour by proxy ARP:
// nobody needs a route.
func TestGuestsOfLANReachAllWithoutRoutes(t *testing.T) {
	t.Parallel()
	h := newHost(t, lab.NoGuestRoute(), lab.LANPeers(1))
	lanBefore := h.LAN.Snapshot(t).Without("links")
	a := h.startNet(t, append(boot(t), "--name", "a", "--ip", "192.0.2.77")...)
	b := h.startNet(t, append(boot(t), "--name", "b", "--ip", "192.0.2.78")...)
	if a.MAC != "52:54:c0:00:02:4d" {
		t.Errorf("MAC is %s", a.MAC)
	}
	for _, w := range []*lab.World{h.LAN, h.Host, h.Peers[0]} {
		a.reachedFrom(t, w)
	}
	a.reaches(t, lab.HostAddress, lab.LANAddress, "192.0.2.2", b.IP)
	b.reaches(t, a.IP)
	if out := a.sh(t, "ip -4 -o addr show dev eth0; ip route"); !strings.Contains(out, "192.0.2.77/24") ||
		!strings.Contains(out, "default via "+lab.HostAddress) {
		t.Errorf("the guest has not the LAN's mask and this host for a router: %s", out)
	}
	if aliases := ip[link](t, h.Host, "-4", "address", "show", "dev", "eth0")[0].Addresses; len(aliases) != 1 {
		t.Errorf("the uplink got another address, which nobody needs here: %+v", aliases)
	}
	h.must(t, "stop", "--all")
	h.isAsBefore(t)
	// The LAN is a bridge, whose timers are among its links' attributes.
	if diff := lanBefore.Diff(h.LAN.Snapshot(t).Without("links")); diff != "" {
		t.Errorf("the LAN is not as before:\n%s", diff)
	}
}

// An address of the LAN that nobody has stays unanswered, for the whole
// uplink's proxy_arp is not switched on, unless that was asked for.
func TestProxyARPOfWholeUplinkAndNone(t *testing.T) {
	t.Parallel()
	h := newHost(t)
	h.startNet(t, append(boot(t), "--name", "all", "--ip", "192.0.2.80", "--proxy-arp", "interface")...).reachedFrom(t, h.LAN)
	if got := h.sysctl(t, "conf/eth0/proxy_arp"); got != "1" {
		t.Errorf("proxy_arp of the uplink is %s with --proxy-arp interface", got)
	}
	if proxies := ip[entry](t, h.Host, "neigh", "show", "proxy"); len(proxies) > 0 {
		t.Errorf("there are proxy entries with --proxy-arp interface: %+v", proxies)
	}
	off := h.startNet(t, append(boot(t), "--name", "off", "--proxy-arp", "off")...)
	off.reachedFrom(t, h.LAN)
	if got := h.sysctl(t, "conf/"+off.Tap+"/proxy_arp"); got != "0" {
		t.Errorf("proxy_arp of the tap is %s with --proxy-arp off", got)
	}
	h.must(t, "stop", "--all")
	h.isAsBefore(t)
}

// reaches checks that the guest gets answers to ping from each address.
func (v *vm) reaches(t *testing.T, addresses ...string) {
	t.Helper()
	for _, address := range addresses {
		if out := v.sh(t, "ping -c 1 -W 5 "+address); !strings.Contains(out, " 0% packet loss") {
			t.Errorf("%s does not reach %s:\n%s", v.Name, address, out)
		}
	}
}
