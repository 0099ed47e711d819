package launcher

import (
	"net/netip"
	"strings"
	"sync"
	"time"

	"kvmrun/launcher/vmdir"
)

// GuestNames are the names of a run directory's VMs as other guests look them up: the
// VM's own, and its host name. What they say is as the run directory is at that moment.
type GuestNames struct {
	root vmdir.Root

	mu    sync.Mutex
	index map[string]string // the VM, by name in lower case
	made  time.Time         // when the index was
}

// NewGuestNames reads nothing yet.
func NewGuestNames(root vmdir.Root) *GuestNames { return &GuestNames{root: root} }

// settled is how old a folder's last change must be so that no later one can have the
// same time.
const settled = time.Second

// Address is where the guest of that name is.
func (g *GuestNames) Address(name string) (netip.Addr, bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if changed := g.root.Changed(); g.index == nil || g.made.Sub(changed) < settled {
		g.read()
	}
	vm, ok := g.index[name]
	if !ok {
		return netip.Addr{}, false
	}
	spec, ok := g.spec(vm)
	return spec.Network.IP, ok
}

// Name is what the VM with that address is called as a host.
func (g *GuestNames) Name(addr netip.Addr) (string, bool) {
	vm := g.root.Holder(leaseIP + addr.String())
	return hostName(vm), vm != ""
}

// spec reads a VM's description, if the VM still has its address. One that has failed
// has given it back.
func (g *GuestNames) spec(vm string) (Spec, bool) {
	var spec Spec
	if err := g.root.Dir(vm).Read(vmdir.SpecFile, &spec); err != nil {
		return Spec{}, false
	}
	return spec, g.root.Holder(leaseIP+spec.Network.IP.String()) == vm
}

// read makes the index anew. A VM's own name goes before what another is called by
// --hostname.
func (g *GuestNames) read() {
	g.made = time.Now()
	g.index = make(map[string]string)
	names, err := g.root.Names()
	if err != nil {
		return // the run directory is gone, perhaps for a moment
	}
	enter := func(name, vm string) {
		name = strings.ToLower(name)
		if _, taken := g.index[name]; !taken {
			g.index[name] = vm
		}
	}
	for _, vm := range names {
		enter(vm, vm)
	}
	for _, vm := range names {
		enter(hostName(vm), vm)
		if spec, ok := g.spec(vm); ok {
			enter(spec.hostName(), vm)
		}
	}
}
