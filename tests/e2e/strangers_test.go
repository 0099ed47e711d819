package e2e

import (
	"strings"
	"testing"
)

// TestStrangersStayUntouched puts things beside a VM's that look like
// kvmrun's, and are not.
func TestStrangersStayUntouched(t *testing.T) {
	t.Parallel()
	h := newHost(t)
	h.Host.PlaceDecoys(t)
	h.sh(t, `
		ip address add 10.254.254.1/32 dev kr-decoy
		echo 1 >/proc/sys/net/ipv4/conf/eth0/forwarding
		echo 7 >/proc/sys/net/ipv4/neigh/eth0/proxy_delay`)
	h.before = h.Host.Snapshot(t)
	v := h.startNet(t, append(boot(t), "--name", "real")...)
	v.reachedFrom(t, h.LAN)
	during := h.Host.Snapshot(t)
	for section, lines := range h.before.Without("processes", "files", "sysctls") {
		present := "\n" + strings.Join(during[section], "\n") + "\n"
		for _, line := range lines {
			if !strings.Contains(present, "\n"+line+"\n") {
				t.Errorf("%s: a stranger's is gone or changed: %s", section, line)
			}
		}
	}
	h.must(t, "stop", "real")
	h.isAsBefore(t)
}

// A tap of the name that a VM's would have belongs to somebody else: kvmrun
// neither adopts nor deletes it.
func TestTapOfSameNameIsNotAdopted(t *testing.T) {
	t.Parallel()
	h := newHost(t)
	h.sh(t, "ip tuntap add dev kr-web mode tap; ip link set kr-web alias 'kvmrun web'")
	h.before = h.Host.Snapshot(t)
	message := h.fails(t, 10, startArgs(frozen(t, "--name", "web")...)...)
	if !strings.Contains(message, "kr-web") {
		t.Errorf("the message does not name the tap: %s", message)
	}
	h.isAsBefore(t)
}

// What somebody changed while VMs ran is not changed back.
func TestChangesMadeMeanwhileStay(t *testing.T) {
	t.Parallel()
	h := newHost(t)
	h.start(t, frozen(t)...)
	h.sh(t, `
		echo 20 >/proc/sys/net/ipv4/neigh/eth0/proxy_delay
		ip address add 198.51.100.8/32 dev eth0 label eth0:1
		ip neigh add proxy 10.254.254.99 dev eth0 nud permanent`)
	h.must(t, "stop", "--all", "--force")
	if got := h.sysctl(t, "neigh/eth0/proxy_delay"); got != "20" {
		t.Errorf("proxy_delay is %s, want the 20 that somebody set", got)
	}
	h.sh(t, `
		echo 80 >/proc/sys/net/ipv4/neigh/eth0/proxy_delay
		ip address delete 198.51.100.8/32 dev eth0
		ip neigh delete proxy 10.254.254.99 dev eth0`)
	h.isAsBefore(t)
}
