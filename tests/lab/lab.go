package lab

import (
	"fmt"
	"os"
	"testing"
)

// The addresses of a lab's network. They are of the range that RFC 5737 keeps
// for documentation, so that a mistake can reach nobody.
const (
	LANPrefix   = "192.0.2.0/24"
	LANAddress  = "192.0.2.1"  // the LAN's first machine, and the host's router
	HostAddress = "192.0.2.10" // the host's eth0
	GuestSubnet = "10.254.254.0/24"
)

// Lab is a host and a LAN that nothing else can reach.
type Lab struct {
	Host  *World   // where kvmrun runs; its uplink is eth0
	LAN   *World   // the LAN's first machine, also called eth0 there
	Peers []*World // further machines of the LAN, see [LANPeers]
}

// New builds a lab that ends with the test. It skips the test, saying why,
// where the machine cannot make namespaces.
func New(t testing.TB, opts ...Option) *Lab {
	t.Helper()
	requireNamespaces(t)
	cfg := defaults()
	for _, o := range opts {
		o(&cfg)
	}
	l := &Lab{}
	t.Cleanup(l.Kill)
	l.Host = newWorld(t, "host", cfg.resolvConf)
	l.LAN = newWorld(t, "lan", cfg.resolvConf)
	for i := range cfg.peers {
		l.Peers = append(l.Peers, newWorld(t, fmt.Sprintf("peer%d", i+1), cfg.resolvConf))
	}
	l.wire(t, cfg)
	return l
}

// Kill ends every process of the lab and returns when they and their
// namespaces are gone. A second call does nothing.
func (l *Lab) Kill() {
	for _, w := range append([]*World{l.Host, l.LAN}, l.Peers...) {
		if w != nil {
			w.kill()
		}
	}
}

func requireNamespaces(t testing.TB) {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("lab: network namespaces, taps and mounts need root; run the tests as root")
	}
	if _, err := os.Stat("/proc/self/ns/pid"); err != nil {
		t.Skipf("lab: this kernel has no process namespaces: %v", err)
	}
}
