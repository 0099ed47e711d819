package bench

import (
	"strings"
	"testing"
	"time"

	"kvmrun/tests/lab"
)

// measureCold takes the time from the first command to the first ping that
// the guest answers to the LAN: by kvmrun start, and by commands as people
// type them for a tap with a route and proxy ARP.
func measureCold(b *testing.B) []row {
	return []row{
		coldRow(b, "in a subnet of its own", "10.254.254.2", "10.254.254.1"),
		coldRow(b, "at an address of the LAN", "192.0.2.77", lab.HostAddress, lab.NoGuestRoute()),
	}
}

func coldRow(b *testing.B, where, ip, gateway string, options ...lab.Option) row {
	h := newHost(b, options...)
	plan := h.plan(b, booting(b, "", "--name", "by-hand", "--ip", ip)...)
	found := rounds(5,
		func() float64 { return h.coldOurs(b, ip) },
		func() float64 { return h.coldByHand(b, plan, gateway) })
	return row{
		what: "cold start to the first answered ping, " + where, unit: seconds,
		kvmrun: found[0], against: "shell commands, dnsmasq, QEMU by hand", other: found[1],
		goal: atMost(.45),
	}
}

func (h *host) coldOurs(b *testing.B, ip string) float64 {
	began := time.Now()
	h.MustRun(b, "kvmrun", startArgs(booting(b, "", "--name", "ours", "--ip", ip)...)...)
	taken := h.answers(b, ip, began)
	h.stop(b, "ours")
	h.lanForgets(b)
	return taken
}

func (h *host) coldByHand(b *testing.B, p plan, gateway string) float64 {
	q := h.prepare(b, p, "")
	began := time.Now()
	h.MustRun(b, "bash", "-euc", articleSetUp(p, gateway))
	q.launch(b)
	taken := h.answers(b, p.Spec.Network.IP, began)
	monitor := q.monitor(b)
	quit(b, monitor)
	q.ended(b)
	h.MustRun(b, "bash", "-euc", articleTearDown(p))
	h.lanForgets(b)
	return taken
}

// articleSetUp are the commands of a person who makes a guest's network by
// hand. dnsmasq has its defaults, its search for others with the address by
// ping included; the kernel has its own, too.
func articleSetUp(p plan, gateway string) string {
	n := p.Spec.Network
	return strings.NewReplacer("TAP", n.Tap, "IP", n.IP, "GATEWAY", gateway).Replace(`
ip tuntap add dev TAP mode tap vnet_hdr
ip address add GATEWAY/32 dev TAP
ip link set TAP up
sysctl -q -w net.ipv4.ip_forward=1
sysctl -q -w net.ipv4.conf.TAP.proxy_arp=1
sysctl -q -w net.ipv4.conf.eth0.proxy_arp=1
ip route add IP/32 dev TAP
dnsmasq --conf-file=/dev/null --pid-file=/run/dnsmasq.pid --dhcp-leasefile=/run/dnsmasq.leases \
	--interface=TAP --except-interface=lo --bind-interfaces \
	--dhcp-range=IP,IP,255.255.255.0 --dhcp-option=option:router,GATEWAY
`)
}

func articleTearDown(p plan) string {
	return strings.NewReplacer("TAP", p.Spec.Network.Tap).Replace(`
kill $(cat /run/dnsmasq.pid)
rm -f /run/dnsmasq.pid /run/dnsmasq.leases
ip link delete TAP
sysctl -q -w net.ipv4.ip_forward=0
sysctl -q -w net.ipv4.conf.eth0.proxy_arp=0
`)
}

// answers waits for the first answered ping from the LAN and returns the time
// since began.
func (h *host) answers(b *testing.B, ip string, began time.Time) float64 {
	h.lan.WaitPing(b, ip, 60*time.Second)
	return time.Since(began).Seconds()
}

// lanForgets makes the next start as cold as the one before.
func (h *host) lanForgets(b *testing.B) { h.lan.MustRun(b, "ip", "neigh", "flush", "dev", "eth0") }
