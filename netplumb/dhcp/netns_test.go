package dhcp

import (
	"os"
	"os/exec"
	"runtime"
	"strings"
	"testing"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// namespace is a network namespace with a thread of its own. It goes with the
// test, and everything in it.
type namespace struct {
	work chan func()
	fd   int // of the namespace
}

func newNamespace(t *testing.T) *namespace {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("skipped: making a network namespace needs root")
	}
	ns := &namespace{work: make(chan func())}
	ready := make(chan error)
	go func() {
		runtime.LockOSThread() // never unlocked: the thread ends with the goroutine
		err := unix.Unshare(unix.CLONE_NEWNET)
		if err == nil {
			ns.fd, err = unix.Open("/proc/thread-self/ns/net", unix.O_RDONLY|unix.O_CLOEXEC, 0)
		}
		ready <- err
		for f := range ns.work {
			f()
		}
	}()
	if err := <-ready; err != nil {
		close(ns.work)
		t.Fatalf("make a network namespace: %v", err)
	}
	t.Cleanup(func() {
		close(ns.work)
		_ = unix.Close(ns.fd)
	})
	return ns
}

// do runs f in the namespace and returns when it is done. Processes that f
// starts are in the namespace too.
func (ns *namespace) do(f func()) {
	done := make(chan struct{})
	ns.work <- func() { defer close(done); f() }
	<-done
}

// run runs a command line in the namespace and returns what it printed.
func (ns *namespace) run(t *testing.T, line string) string {
	t.Helper()
	words := strings.Fields(line)
	var out []byte
	var err error
	ns.do(func() { out, err = exec.Command(words[0], words[1:]...).CombinedOutput() })
	if err != nil {
		t.Fatalf("%s: %v\n%s", line, err, out)
	}
	return string(out)
}

// joinByVeth connects two namespaces: host has an interface called tap0, guest
// one called eth0 with MAC guestMAC, both up.
func joinByVeth(t *testing.T, host, guest *namespace, tap string) {
	t.Helper()
	var err error
	host.do(func() {
		veth := netlink.NewVeth(netlink.NewLinkAttrs())
		veth.Name, veth.PeerName = tap, "eth0"
		veth.PeerHardwareAddr = guestMAC
		veth.PeerNamespace = netlink.NsFd(guest.fd)
		err = netlink.LinkAdd(veth)
	})
	if err != nil {
		t.Fatalf("add a veth pair: %v", err)
	}
	host.run(t, "ip link set "+tap+" up")
	guest.run(t, "ip link set eth0 up")
}
