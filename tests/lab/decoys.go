package lab

import "testing"

// PlaceDecoys puts things on a host that look like those of a VM called decoy at
// 10.254.254.9 and yet are somebody else's: whatever kvmrun does, they stay.
func (w *World) PlaceDecoys(t testing.TB) {
	t.Helper()
	w.MustRun(t, "sh", "-euc", `
		ip tuntap add dev kr-decoy mode tap
		ip link set kr-decoy group 21076 alias 'kvmrun decoy' up
		ip address add 10.254.254.254/32 dev kr-decoy metric 21076
		ip route add 10.254.254.9/32 dev kr-decoy proto 82
		ip neigh add 10.254.254.9 lladdr 52:54:0a:fe:fe:09 nud permanent dev kr-decoy
		ip neigh add proxy 10.254.254.9 dev eth0 nud permanent
		ip address add 198.51.100.7/32 dev eth0 label eth0:0
		echo 1 >/proc/sys/net/ipv4/conf/kr-decoy/proxy_arp`)
}
