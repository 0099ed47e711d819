package netplumb

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"testing"
	"time"
)

// Each way of doing the same is measured for one more guest beside 0, 99 and
// 499 others. up-µs and down-µs leave out the deletion of the tap itself, some
// 20 ms in the kernel for whoever does it, which is tap-ms.

// BenchmarkPlan measures facts, plan, Apply and Undo.
func BenchmarkPlan(b *testing.B) {
	besideOthers(b, byPlan)
}

// BenchmarkWatched measures the same while the others' plans are watched: the
// kernel asks each watch about each change.
func BenchmarkWatched(b *testing.B) {
	besideOthers(b, func(l *lab) measured {
		for _, other := range l.others {
			if _, err := other.Watch(b.Context(), l.Host); err != nil {
				b.Fatal(err)
			}
		}
		return byPlan(l)
	})
}

func byPlan(l *lab) measured {
	c := subnetConfig()
	var files []*os.File
	var p *Plan
	return measured{
		up:   func() { p = l.plan(c); files = l.apply(p) },
		down: func() { l.undo(p) },
		drop: func() { closeAll(files) },
	}
}

// BenchmarkFloor measures the same kernel objects made by bare ioctls and one
// batch of netlink requests, without checks, journal or error texts.
func BenchmarkFloor(b *testing.B) {
	besideOthers(b, func(l *lab) measured {
		c := subnetConfig()
		up, err := l.rtnl.linkByName(c.Uplink)
		if err != nil {
			b.Fatal(err)
		}
		tap := new(openTap)
		firstAndLast := func(forward, delay string, alias *message) {
			if len(l.others) > 0 {
				return
			}
			err := errors.Join(sysctl{forwarding, c.Uplink, ""}.write(forward),
				sysctl{proxyDelay, c.Uplink, ""}.write(delay), l.rtnl.change(alias))
			if err != nil {
				b.Fatal(err)
			}
		}
		return measured{
			up: func() {
				firstAndLast("1", "0", addAlias(up.index, Alias{Address: c.Gateway, Label: "eth0:0"}))
				err := tap.open(c)
				if err == nil {
					err = sysctl{disableIPv6, c.Tap, "1"}.write("1")
				}
				if err == nil {
					err = l.rtnl.change(setTap(tap.index, c), setProxyDelay(tap.index),
						addTapAddress(tap.index, c.Gateway), addRoute(tap.index, c.Address, c.Gateway),
						addNeighbour(tap.index, c.Address, c.MAC), addProxy(up.index, c.Address))
				}
				if err != nil {
					b.Fatal(err)
				}
			},
			down: func() {
				if err := l.rtnl.change(deleteProxy(up.index, c.Address)); err != nil {
					b.Fatal(err)
				}
				firstAndLast("0", "80", deleteAddress(up.index, c.Gateway))
			},
			drop: tap.close,
		}
	})
}

// BenchmarkShell measures the plan's own script.
func BenchmarkShell(b *testing.B) {
	besideOthers(b, func(l *lab) measured {
		p := l.plan(subnetConfig())
		setUp, tearDown, err := p.Script()
		if err != nil {
			b.Fatal(err)
		}
		if len(l.others) > 0 {
			// The script is written for a host without other guests.
			l.sh("ip address delete 10.254.254.1/32 dev eth0")
		}
		// Torn down by another shell, which has to know the old values.
		tearDown = "old_forwarding=1; old_proxy_delay=0\n" + tearDown
		return measured{
			up:   func() { l.sh(setUp) },
			down: func() { l.sh(tearDown) },
			drop: func() {},
		}
	})
}

type measured struct{ up, down, drop func() }

func besideOthers(b *testing.B, prepare func(*lab) measured) {
	if !ownNamespace(b) {
		return
	}
	for _, others := range []int{0, 99, 499} {
		b.Run(fmt.Sprint(others), func(b *testing.B) {
			l := newLab(b)
			defer l.sh("ip link delete eth0")
			defer l.deleteOthers()
			l.addOthers(others)
			m := prepare(l)
			var up, drop, down time.Duration
			for b.Loop() {
				start := time.Now()
				m.up()
				up += time.Since(start)
				start = time.Now()
				m.drop()
				drop += time.Since(start)
				start = time.Now()
				m.down()
				down += time.Since(start)
			}
			n := float64(b.N)
			b.ReportMetric(float64(up.Microseconds())/n, "up-µs")
			b.ReportMetric(float64(down.Microseconds())/n, "down-µs")
			b.ReportMetric(float64(drop.Microseconds())/n/1000, "tap-ms")
		})
	}
}

// addOthers applies plans for other guests of the same subnet.
func (l *lab) addOthers(n int) {
	addr := netip.MustParseAddr("10.254.252.1")
	for i := range n {
		addr = addr.Next()
		c := subnetConfig()
		c.Address, c.Tap = addr, fmt.Sprintf("other%d", i)
		c.Subnet = netip.MustParsePrefix("10.254.252.0/22")
		c.MAC = MACFor(addr)
		p := l.plan(c)
		files, err := p.Apply(context.Background(), l.Host)
		if err != nil {
			l.Fatal(err)
		}
		l.others = append(l.others, p)
		l.otherFiles = append(l.otherFiles, files...)
	}
}

// deleteOthers deletes all taps in one request, which is far quicker than one
// after another.
func (l *lab) deleteOthers() {
	if err := l.rtnl.change(deleteGroup(LinkGroup)); err != nil && !gone(err) {
		l.Fatal(err)
	}
	closeAll(l.otherFiles)
	for _, p := range l.others {
		l.undo(p)
	}
}

// BenchmarkLook measures the look of a guest's supervisor when all is well.
func BenchmarkLook(b *testing.B) {
	if !ownNamespace(b) {
		return
	}
	l := newLab(b)
	p := l.plan(subnetConfig())
	l.apply(p)
	for b.Loop() {
		if _, err := p.Renew(l.Host); err != nil {
			b.Fatal(err)
		}
		if _, err := p.LookAtUplink(l.Host); err != nil {
			b.Fatal(err)
		}
		if found, err := p.Repair(context.Background(), l.Host, nil); err != nil || len(found) > 0 {
			b.Fatal(found, err)
		}
	}
}
