// Package nstest gives tests network namespaces of their own. Each is that of
// one thread, made in the test's process, and goes with the test and everything
// in it.
package nstest

import (
	"net"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"testing"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// Namespace is a network namespace with a thread of its own.
type Namespace struct {
	work chan func()
	fd   int
}

// New makes a namespace that lasts until the test ends. Without root the test
// is skipped.
func New(t *testing.T) *Namespace {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("skipped: making a network namespace needs root")
	}
	ns := &Namespace{work: make(chan func())}
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

// Do runs f in the namespace and returns when it is done. Processes that f
// starts are in the namespace too; goroutines are not.
func (ns *Namespace) Do(f func()) {
	done := make(chan struct{})
	ns.work <- func() { defer close(done); f() }
	<-done
}

// Run runs a command line, split at its blanks, and returns what it printed; a
// failure ends the test.
func (ns *Namespace) Run(t *testing.T, line string) string {
	t.Helper()
	return ns.command(t, strings.Fields(line)...)
}

// Shell runs commands by sh -e and returns what they printed; a failure ends
// the test.
func (ns *Namespace) Shell(t *testing.T, commands string) string {
	t.Helper()
	return ns.command(t, "sh", "-e", "-c", commands)
}

func (ns *Namespace) command(t *testing.T, words ...string) string {
	t.Helper()
	var out []byte
	var err error
	ns.Do(func() { out, err = exec.Command(words[0], words[1:]...).CombinedOutput() })
	if err != nil {
		t.Fatalf("%s: %v\n%s", strings.Join(words, " "), err, out)
	}
	return string(out)
}

// JoinByVeth connects two namespaces: host gets an interface called tap, guest
// one called eth0 with a MAC of the caller's choice. Both are up.
func JoinByVeth(t *testing.T, host, guest *Namespace, tap string, guestMAC net.HardwareAddr) {
	t.Helper()
	var err error
	host.Do(func() {
		veth := netlink.NewVeth(netlink.NewLinkAttrs())
		veth.Name, veth.PeerName = tap, "eth0"
		veth.PeerHardwareAddr = guestMAC
		veth.PeerNamespace = netlink.NsFd(guest.fd)
		err = netlink.LinkAdd(veth)
	})
	if err != nil {
		t.Fatalf("add a veth pair: %v", err)
	}
	host.Run(t, "ip link set "+tap+" up")
	guest.Run(t, "ip link set eth0 up")
}
