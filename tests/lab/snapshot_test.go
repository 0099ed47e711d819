package lab

import (
	"strings"
	"testing"
	"time"
)

func TestSnapshotShowsEveryChange(t *testing.T) {
	w := New(t).Host
	before := w.Snapshot(t)
	if diff := before.Diff(w.Snapshot(t)); diff != "" {
		t.Fatalf("two snapshots of one state differ:\n%s", diff)
	}
	for _, test := range []struct{ name, do, undo, section string }{
		{"link", "ip tuntap add tap9 mode tap", "ip link del tap9", "links"},
		{"address", "ip addr add 10.9.9.1/32 dev eth0 label eth0:0", "ip addr del 10.9.9.1/32 dev eth0", "addresses"},
		{"route", "ip route add 10.9.9.9 dev eth0 proto 99", "ip route del 10.9.9.9", "routes"},
		{"route in another table", "ip route add 10.9.9.9 dev eth0 table 77", "ip route del 10.9.9.9 table 77", "routes"},
		{"rule", "ip rule add to 10.9.9.9 lookup 77", "ip rule del to 10.9.9.9 lookup 77", "rules"},
		{"proxy", "ip neigh add proxy 10.9.9.9 dev eth0", "ip neigh del proxy 10.9.9.9 dev eth0", "neighbours"},
		{"neighbour", "ip neigh add 192.0.2.77 lladdr 52:54:00:00:00:01 dev eth0 nud permanent", "ip neigh del 192.0.2.77 dev eth0", "neighbours"},
		{"sysctl", "echo 1 >/proc/sys/net/ipv4/conf/eth0/proxy_arp", "echo 0 >/proc/sys/net/ipv4/conf/eth0/proxy_arp", "sysctls"},
		{"neighbour sysctl", "echo 7 >/proc/sys/net/ipv4/neigh/eth0/proxy_delay", "echo 80 >/proc/sys/net/ipv4/neigh/eth0/proxy_delay", "sysctls"},
		{"firewall", "nft add table inet nine", "nft delete table inet nine", "nftables"},
		{"file", "touch /run/nine", "rm /run/nine", "files"},
		{"content of a file", "echo nine >>/run/resolv.conf", "sed -i '$d' /run/resolv.conf", "files"},
		{"mode of a file", "chmod 600 /run/resolv.conf", "chmod 644 /run/resolv.conf", "files"},
	} {
		t.Run(test.name, func(t *testing.T) {
			w.MustRun(t, "sh", "-c", test.do)
			diff := before.Diff(w.Snapshot(t))
			if !strings.Contains(diff, test.section) {
				t.Errorf("%s does not show in %s:\n%s", test.do, test.section, diff)
			}
			w.MustRun(t, "sh", "-c", test.undo)
			if diff := before.Diff(w.Snapshot(t)); diff != "" {
				t.Errorf("after %s:\n%s", test.undo, diff)
			}
		})
	}
	l, err := w.Listen("unix", "@nine")
	if err != nil {
		t.Fatal(err)
	}
	if diff := before.Diff(w.Snapshot(t)); !strings.Contains(diff, "sockets: + ") {
		t.Errorf("a socket does not show:\n%s", diff)
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	p := w.Start(t, "sleep", "60")
	if diff := before.Diff(w.Snapshot(t)); !strings.Contains(diff, "sleep 60") {
		t.Errorf("a process does not show:\n%s", diff)
	}
	p.Signal(t, killSignal)
	p.Wait(t, 5*time.Second)
	if diff := before.Diff(w.Snapshot(t)); diff != "" {
		t.Errorf("after its end:\n%s", diff)
	}
}
