package netplumb

import (
	"context"
	"errors"
	"net/netip"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// insideVariable tells a re-executed test binary which namespace it was started
// from, and thereby that it is in one of its own.
const insideVariable = "NETPLUMB_TEST_OUTSIDE"

// ownNamespace runs the calling test in a process and network namespace of its
// own, which go when it ends, whatever it does. It returns true in there, and
// false outside once the process inside has ended:
//
//	if !ownNamespace(t) { return }
//
// A process, not just a thread, because /proc/sys/net and new goroutines follow
// the thread they happen to run on.
func ownNamespace(tb testing.TB) bool {
	tb.Helper()
	here, err := os.Readlink("/proc/self/ns/net")
	if err != nil {
		tb.Fatal(err)
	}
	if outside := os.Getenv(insideVariable); outside != "" {
		if outside == here {
			tb.Fatal("still in the namespace of the machine")
		}
		return true
	}
	args := []string{"-test.run=^" + tb.Name() + "$", "-test.v", "-test.timeout=120s"}
	if _, ok := tb.(*testing.B); ok {
		args = []string{"-test.run=^$", "-test.bench=^" + tb.Name() + "$"}
	}
	cmd := exec.Command("/proc/self/exe", args...)
	// Without the second that the race detector likes to wait at exit.
	cmd.Env = append(os.Environ(), insideVariable+"="+here, "GORACE=atexit_sleep_ms=0 "+os.Getenv("GORACE"))
	cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWNET, Pdeathsig: syscall.SIGKILL}
	out, err := cmd.CombinedOutput()
	if errors.Is(err, syscall.EPERM) {
		tb.Skip("making a network namespace needs root: ", err)
	}
	tb.Logf("%s", out)
	switch {
	case err != nil:
		tb.Fatal("inside the namespace: ", err)
	case strings.Contains(string(out), "--- SKIP: "+tb.Name()):
		tb.Skip("skipped inside the namespace, see above")
	}
	return false
}

// lab is a host with an uplink, in a namespace of its own. The other end of the
// uplink, lan0, is in the same namespace and has no address.
type lab struct {
	testing.TB
	*Host
	dir string
	// Further guests, where a test needs a crowd.
	others     []*Plan
	otherFiles []*os.File
}

func newLab(tb testing.TB) *lab {
	tb.Helper()
	l := &lab{TB: tb, dir: tb.TempDir()}
	l.sh(`ip link set lo up
ip link add eth0 type veth peer name lan0
for i in eth0 lan0; do sysctl -q -w net.ipv6.conf.$i.disable_ipv6=1; ip link set $i up; done
ip address add 192.168.1.10/24 brd + dev eth0
ip route add default via 192.168.1.1
# The kernel notices the carrier a moment later, and states are compared here.
for n in $(seq 1000); do test $(ip -br link show up type veth | grep -c " UP ") = 2 && exit; sleep 0.01; done
exit 1`)
	h, err := OpenHost(l.dir)
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() { _ = h.Close() })
	l.Host = h
	return l
}

// sh runs commands and returns what they print.
func (l *lab) sh(script string) string {
	l.Helper()
	out, err := exec.Command("sh", "-euc", script).CombinedOutput()
	if err != nil {
		l.Fatalf("%s\n%s%v", script, out, err)
	}
	return string(out)
}

// state is everything that the package could have touched, as iproute2 and
// sysctl see it. Interface numbers of taps that came and went don't show in it.
func (l *lab) state() string {
	l.Helper()
	return l.sh(`ip -d address
ip route show table all
ip rule
ip neigh
ip neigh show proxy
sysctl -a -r '^net\.ipv[46]\.(conf|neigh|ip_forward)' 2>/dev/null
sysctl net.ipv4.ip_forward
find ` + l.dir + ` -mindepth 1 ! -name lock`)
}

// unchanged fails the test if the state is not what it was.
func (l *lab) unchanged(before string) {
	l.Helper()
	if diff := cmp.Diff(strings.Split(before, "\n"), strings.Split(l.state(), "\n")); diff != "" {
		l.Errorf("the host is not as before (-before +after):\n%s", diff)
	}
}

// subnetConfig is a guest in a subnet of its own behind the host.
func subnetConfig() Config {
	addr := netip.MustParseAddr("10.254.254.2")
	return Config{
		Address: addr, Subnet: netip.MustParsePrefix("10.254.254.0/24"),
		Gateway: netip.MustParseAddr("10.254.254.1"), MAC: MACFor(addr),
		Tap: "kvm-web", Alias: "kvmrun web it's", Uplink: "eth0", ProxyARP: ProxyExact,
		MTU: 1500, Queues: 1,
	}
}

// lanConfig is a guest with an address of the uplink's LAN.
func lanConfig() Config {
	c := subnetConfig()
	c.Address = netip.MustParseAddr("192.168.1.50")
	c.MAC = MACFor(c.Address)
	c.Subnet = netip.MustParsePrefix("192.168.1.0/24")
	c.Gateway = netip.MustParseAddr("192.168.1.1")
	return c
}

// plan plans with the facts of the lab.
func (l *lab) plan(c Config) *Plan {
	l.Helper()
	facts, err := l.Facts(c.Uplink, c.Gateway)
	if err != nil {
		l.Fatal(err)
	}
	p, err := NewPlan(c, facts)
	if err != nil {
		l.Fatal(err)
	}
	return p
}

// apply applies a plan and returns its descriptors, closed at the end of the
// test at the latest.
func (l *lab) apply(p *Plan) []*os.File {
	l.Helper()
	files, err := p.Apply(context.Background(), l.Host)
	if err != nil {
		l.Fatal(err)
	}
	l.Cleanup(func() { closeAll(files) })
	return files
}

func (l *lab) undo(p *Plan) {
	l.Helper()
	if err := p.Undo(context.Background(), l.Host); err != nil {
		l.Fatal(err)
	}
}

// allWell fails the test unless Review is content with every step.
func (l *lab) allWell(p *Plan) {
	l.Helper()
	for _, f := range p.Review(l.Host) {
		if !f.OK || f.Remedy != "" {
			l.Errorf("%s: want %s, have %s; %s", f.Step, f.Want, f.Have, f.Remedy)
		}
	}
}

func closeAll(files []*os.File) {
	for _, f := range files {
		_ = f.Close()
	}
}
