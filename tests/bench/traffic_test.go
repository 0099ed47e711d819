package bench

import (
	"fmt"
	"strings"
	"testing"

	"kvmrun/tests/lab"
)

// guest is one that is reached from the LAN, in one of the ways that guests
// are.
type guest struct {
	lan    *lab.World
	ip     string
	offset int // added to the guest's ports
}

// measureTraffic compares what goes through kvmrun's taps with the same QEMU
// on a bridge, and with QEMU's user network. All guests run at once and take
// turns.
func measureTraffic(b *testing.B) []row {
	routed, bridged := newHost(b), newBridgedHost(b)
	netdev := routed.routedGuest(b, "netdev")
	net := routed.routedGuest(b, "net")
	netdevBridge := bridged.bridgedGuest(b, "netdev", 81)
	netBridge := bridged.bridgedGuest(b, "net", 82)
	user := routed.userGuest(b)
	guests := []guest{netdev, net, netdevBridge, netBridge, user}
	for _, g := range guests {
		g.await(b)
	}
	var rows []row
	for _, quantity := range []struct {
		name    string
		unit    unit
		measure func(*testing.B, guest) float64
		level   goal
		ahead   goal
	}{
		{"TCP from the LAN to the guest", gigabits, sending, notBehind(), atLeast(2)},
		{"TCP from the guest to the LAN", gigabits, receiving, notBehind(), atLeast(2)},
		{"TCP round trip", microseconds, roundTrip, notLonger(), goal{}},
	} {
		var ways []func() float64
		for _, g := range guests {
			ways = append(ways, func() float64 { return quantity.measure(b, g) })
		}
		found := rounds(5, ways...)
		compare := func(form string, ours samples, against string, other samples, g goal) {
			rows = append(rows, row{what: quantity.name + ", `" + form + "`", unit: quantity.unit,
				kvmrun: ours, against: against, other: other, goal: g})
		}
		compare("netdev", found[0], "a bridge, `netdev`", found[2], quantity.level)
		compare("net", found[1], "a bridge, `net`", found[3], quantity.level)
		compare("netdev", found[0], "QEMU's user network", found[4], quantity.ahead)
	}
	return rows
}

// routedGuest is kvmrun's.
func (h *host) routedGuest(b *testing.B, form string) guest {
	v := h.start(b, booting(b, "", "--net-form", form)...)
	return guest{lan: h.lan, ip: v.IP}
}

// newBridgedHost is a host whose uplink is a port of a bridge.
func newBridgedHost(b *testing.B) *host {
	h := newHost(b)
	h.MustRun(b, "sh", "-ec", strings.ReplaceAll(`
ip link add br0 type bridge
ip link set eth0 master br0
ip address flush dev eth0
ip address add HOST/24 dev br0
ip link set br0 up
`, "HOST", lab.HostAddress))
	return h
}

// bridgedGuest is the same QEMU with its tap on the bridge, at an address of
// the LAN that ends in number.
func (h *host) bridgedGuest(b *testing.B, form string, number int) guest {
	ip := fmt.Sprintf("192.0.2.%d", number)
	plan := h.plan(b, booting(b, fmt.Sprintf("guest.ip=static:%s/24,%s", ip, lab.LANAddress), "--net-form", form,
		"--name", form, "--uplink", "none", "--ip", fmt.Sprintf("10.254.254.%d", number))...)
	h.prepare(b, plan, "").run(b)
	h.MustRun(b, "ip", "link", "set", plan.Spec.Network.Tap, "master", "br0", "up")
	return guest{lan: h.lan, ip: ip}
}

// userGuest is the same QEMU without a tap: QEMU itself speaks for the guest,
// and forwards ports of the host's.
func (h *host) userGuest(b *testing.B) guest {
	const offset = 10000
	plan := h.plan(b, booting(b, "", "--name", "user", "--ip", "10.254.254.99")...)
	var forwards strings.Builder
	for _, port := range []int{echoPort, discardPort, zerosPort} {
		fmt.Fprintf(&forwards, ",hostfwd=tcp::%d-:%d", port+offset, port)
	}
	replaced := false
	for i, arg := range plan.Command {
		if strings.HasPrefix(arg, "tap,id=net0,") {
			plan.Command[i], replaced = "user,id=net0"+forwards.String(), true
		}
	}
	if !replaced {
		b.Fatalf("no -netdev tap,id=net0 in %q", plan.Command)
	}
	h.prepare(b, plan, "").run(b)
	return guest{lan: h.lan, ip: lab.HostAddress, offset: offset}
}
