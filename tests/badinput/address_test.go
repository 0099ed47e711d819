package badinput

import (
	"testing"

	"kvmrun/tests/lab"
)

func TestAddresses(t *testing.T) {
	h := newHost(t)
	newDisks(t, h)
	h.MustRun(t, "sh", "-ec", `
		ip link add other type veth peer name another
		ip addr add 10.254.254.77/32 dev other
		ip addr add 198.51.100.1/24 dev other
		ip link set another up
		ip link set other up
	`)
	h.startIdle(t, "--name", "first", "--ip", "10.254.254.5", "/run/img/good.qcow2", "--ephemeral")
	h.remember(t)
	const disk = "/run/img/good.qcow2"
	with := func(flags ...string) []string { return concat([]string{disk, "--ephemeral", "--name", "web"}, flags) }
	ip := func(address string) []string { return with("--ip", address) }
	var cases []refusal
	for _, bad := range []string{"", "x", "10.254.254", "10.254.254.256", "10.254.254.5/24", "010.254.254.5", "10.254.254.6 ", "fe80::1", "2001:db8::1", "::ffff:10.254.254.6", "fe80::1%eth0", "host\nname"} {
		cases = append(cases, refusal{"--ip=" + bad, ip(bad), exitAddress, []string{"address"}})
	}
	for _, bad := range []string{"", "x", "10.254.254.0", "10.254.254.0/33", "10.254.254.0/-1", "10.254.254.1/24", "fd00::/64", "127.0.0.0/8", "224.0.0.0/24", "240.0.0.0/24", "0.0.0.0/0", "0.0.0.0/8", "10.0.0.0/7"} {
		cases = append(cases, refusal{"--subnet=" + bad, with("--subnet", bad), exitAddress, []string{"subnet"}})
	}
	for _, bad := range []string{"", "x", "fe80::1", "192.0.2.1", "10.254.254.0", "10.254.254.255", "127.0.0.1", "0.0.0.0"} {
		cases = append(cases, refusal{"--gateway=" + bad, with("--ip", "10.254.254.9", "--gateway", bad), exitAddress, []string{"gateway"}})
	}
	for _, bad := range []string{"x", "fe80::1", "10.0.0.1;reboot", "gateway,10.0.0.1", "10.0.0.1,off", "Host"} {
		cases = append(cases, refusal{"--dns=" + bad, with("--dns", bad), exitAddress, []string{"--dns"}})
	}
	for _, bad := range []string{"", "x", "01:00:5e:00:00:01", "ff:ff:ff:ff:ff:ff", "00:00:00:00:00:00", "52:54:00:00:00", "52:54:00:00:00:01:02:03", "52:54:00:00:00:0g", "52:54:0a:fe:fe:09,netdev=x"} {
		cases = append(cases, refusal{"--mac=" + bad, with("--mac", bad), exitAddress, []string{"MAC"}})
	}
	h.refuseStart(t, append(cases,
		refusal{"outside the subnet", ip("10.9.9.9"), exitAddress, []string{"10.9.9.9", "10.254.254.0/24"}},
		refusal{"the gateway's", ip("10.254.254.1"), exitAddress, []string{"10.254.254.1", "gateway"}},
		refusal{"the network's", ip("10.254.254.0"), exitAddress, []string{"network address"}},
		refusal{"broadcast", ip("10.254.254.255"), exitAddress, []string{"broadcast"}},
		refusal{"loopback", ip("127.0.0.5"), exitAddress, []string{"127.0.0.5"}},
		refusal{"multicast", ip("224.0.0.5"), exitAddress, []string{"224.0.0.5"}},
		refusal{"limited broadcast", ip("255.255.255.255"), exitAddress, []string{"255.255.255.255"}},
		refusal{"unspecified", ip("0.0.0.0"), exitAddress, []string{"0.0.0.0"}},
		refusal{"another VM's", ip("10.254.254.5"), exitAddress, []string{"start web", "10.254.254.5", "in use by VM first", "--ip"}},
		refusal{"the uplink's own", ip(lab.HostAddress), exitAddress, []string{lab.HostAddress}},
		refusal{"another interface's", ip("10.254.254.77"), exitAddress, []string{"10.254.254.77", "other"}},
		refusal{"the LAN's router", ip(lab.LANAddress), exitAddress, []string{lab.LANAddress}},
		refusal{"the LAN's broadcast", ip("192.0.2.255"), exitAddress, []string{"broadcast"}},
		refusal{"--gateway is the guest's", with("--ip", "10.254.254.9", "--gateway", "10.254.254.9"), exitAddress, []string{"10.254.254.9"}},
		refusal{"subnet of another interface", with("--subnet", "198.51.100.0/24"), exitNetwork, []string{"198.51.100.0/24", "other"}},
		refusal{"subnet around another interface's", with("--subnet", "198.51.0.0/16"), exitNetwork, []string{"198.51.0.0/16"}},
		refusal{"subnet within another interface's", with("--subnet", "198.51.100.128/25"), exitNetwork, []string{"198.51.100.128/25"}},
		refusal{"subnet without room", with("--subnet", "10.66.0.0/32"), exitAddress, []string{"10.66.0.0/32"}},
		refusal{"no such uplink", with("--uplink", "eth9"), exitNetwork, []string{"eth9", "--uplink"}},
		refusal{"uplink with a name too long", with("--uplink", "an-interface-with-a-long-name"), exitNetwork, []string{"an-interface-with-a-long-name"}},
		refusal{"uplink with a slash", with("--uplink", "../all"), exitNetwork, []string{"../all"}},
		refusal{"uplink loopback", with("--uplink", "lo"), exitNetwork, []string{"lo"}},
		refusal{"uplink a tap of kvmrun's", with("--uplink", "kr-first"), exitNetwork, []string{"kr-first"}},
	))
	h.MustRun(t, "ip", "route", "add", "10.254.254.88/32", "dev", "other")
	h.remember(t)
	h.refuseStart(t, []refusal{
		{"routed elsewhere", ip("10.254.254.88"), exitNetwork, []string{"10.254.254.88/32", "other", "--subnet"}},
	})
}

func TestSubnetIsFull(t *testing.T) {
	h := newHost(t)
	newDisks(t, h)
	h.startIdle(t, "/run/img/good.qcow2", "--ephemeral", "--name", "one", "--subnet", "10.66.0.0/30")
	h.remember(t)
	h.refuseStart(t, []refusal{{"third of two", []string{"/run/img/good.qcow2", "--ephemeral", "--name", "two", "--subnet", "10.66.0.0/30"},
		exitAddress, []string{"no free address", "10.66.0.0/30", "--subnet"}}})
}

// TestNetworkInsideTheLAN has a part of the LAN behind another interface: addresses
// in it are refused, those beside it are not.
func TestNetworkInsideTheLAN(t *testing.T) {
	h := newHost(t)
	newDisks(t, h)
	h.MustRun(t, "sh", "-ec", `ip link add vpn0 type veth peer name vpn1; ip link set vpn1 up; ip link set vpn0 up
		ip address add 192.0.2.129/26 dev vpn0`)
	h.startIdle(t, "/run/img/good.qcow2", "--ephemeral", "--ip", "192.0.2.50", "--no-probe")
	h.startIdle(t, "/run/img/good.qcow2", "--ephemeral", "--subnet", "192.0.2.32/27", "--no-probe")
	h.remember(t)
	h.refuseStart(t, []refusal{
		{"address behind it", []string{"/run/img/good.qcow2", "--ephemeral", "--ip", "192.0.2.140"}, exitNetwork, []string{"192.0.2.128/26", "vpn0", "--ip"}},
		{"part of the LAN behind it", []string{"/run/img/good.qcow2", "--ephemeral", "--subnet", "192.0.2.160/28"}, exitNetwork, []string{"192.0.2.128/26", "vpn0", "--subnet"}},
	})
}
