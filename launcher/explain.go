package launcher

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"time"

	"kvmrun/launcher/vmdir"
	"kvmrun/netplumb"
	"kvmrun/netplumb/explain"
)

// HopVM is the hop before all that explain looks at: that there is a guest.
const HopVM = "vm"

// ExplainOptions say what to try with.
type ExplainOptions struct {
	// With is a machine of the LAN; the zero Addr stands for the default router.
	With netip.Addr
	// Timeout is how long each question waits for its answer; a second if zero.
	Timeout time.Duration
}

// Explanation says whether a VM can be reached and what was seen on the way.
type Explanation struct {
	VM        string        `json:"vm"`
	IP        string        `json:"ip"`
	With      string        `json:"with,omitempty"` // the LAN's machine that was tried with
	Reachable bool          `json:"reachable"`      // no hop fails
	Broken    string        `json:"broken,omitempty"`
	Hops      []explain.Hop `json:"hops"`
}

// Explain says why a VM cannot be reached, or that it can. It sends ARP and pings
// on the VM's tap and on the uplink, and changes nothing.
func (l *Launcher) Explain(ctx context.Context, name string, o ExplainOptions) (Explanation, error) {
	e, err := l.explain(ctx, name, o)
	return e, during("explain the network of "+printableName(name), err)
}

func (l *Launcher) explain(ctx context.Context, name string, o ExplainOptions) (Explanation, error) {
	if os.Geteuid() != 0 {
		return Explanation{}, fail(KindPermission, "run it by sudo", "it sends packets on the VM's tap and on the uplink, for which root is needed")
	}
	setDefault(&o.Timeout, time.Second)
	dir, err := l.dir(name)
	if err != nil {
		return Explanation{}, err
	}
	vm, err := l.look(dir)
	if err != nil {
		return Explanation{}, err
	}
	if vm.State == Running && (vm.Details.QEMU.Stopped() || l.standsStill(ctx, dir, o.Timeout)) {
		vm.State = Paused
	}
	e := Explanation{VM: vm.Name, IP: vm.IP, Hops: []explain.Hop{judgeVM(vm)}}
	if vm.Details.Plan == nil || vm.State == Failed || vm.State == Dead {
		return e.finished(), nil
	}
	host, err := netplumb.OpenHost(l.root.Net())
	if err != nil {
		return e, err
	}
	defer func() { _ = host.Close() }()
	if err := l.checkWith(host, vm, o.With); err != nil {
		return e, err
	}
	report, err := explain.Explain(ctx, host, explain.Query{
		Plan: vm.Details.Plan, With: o.With, Still: vm.State == Paused, Taps: tapPrefix + "*", Patience: o.Timeout,
	})
	if err != nil {
		return e, err
	}
	if report.With.IsValid() {
		e.With = report.With.String()
	}
	e.Hops = append(e.Hops, report.Hops...)
	l.addKnown(ctx, &e, vm, o.Timeout)
	addConflict(&e, vm.VM)
	return e.finished(), nil
}

// standsStill asks QEMU itself, for the supervisor may be gone, or hear of it a
// moment later. A QEMU that does not answer is taken at the supervisor's word.
func (l *Launcher) standsStill(ctx context.Context, dir vmdir.Dir, patience time.Duration) bool {
	var status struct{ Running bool }
	err := askMonitor(ctx, dir, patience, "query-status", nil, &status)
	return err == nil && !status.Running
}

// finished draws the sum.
func (e Explanation) finished() Explanation {
	broken, found := explain.Broken(e.Hops)
	e.Reachable, e.Broken = !found, broken.Name
	return e
}

// checkWith refuses what is no machine of the LAN.
func (l *Launcher) checkWith(host *netplumb.Host, vm Details, with netip.Addr) error {
	switch {
	case !with.IsValid():
		return nil
	case !with.Is4() || with.IsUnspecified() || with.IsMulticast() || with.IsLoopback() || reserved(with):
		return fail(KindUsage, "name another by --with", "%s is no machine's IPv4 address", with)
	case vm.Spec.Network.Uplink == "":
		return fail(KindUsage, "leave --with out", "%s has no uplink to reach %s by", vm.Name, with)
	case with == vm.Spec.Network.IP:
		return fail(KindUsage, "name another machine of the LAN by --with", "%s is the VM's own address", with)
	}
	switch err := host.CheckAddressFree(with); {
	case errors.Is(err, netplumb.ErrAddressInvalid):
		return fail(KindUsage, "name a machine of the LAN by --with", "%s is a broadcast address, which no machine has", with)
	case errors.Is(err, netplumb.ErrAddressOnHost):
		return fail(KindUsage, "name another machine of the LAN by --with", "%s is this host's own", with)
	}
	guests, err := l.List(false)
	for _, other := range guests {
		if other.IP == with.String() {
			return fail(KindUsage, "name another machine of the LAN by --with", "%s is VM %s on this host", with, other.Name)
		}
	}
	return err
}

// reserved tells whether an address is of the networks that no machine has
// (RFC 1112, section 4, and RFC 1122, section 3.2.1.3).
func reserved(addr netip.Addr) bool {
	first := addr.As4()[0]
	return first == 0 || first >= 240
}

// judgeVM judges the VM itself, by its state.
func judgeVM(vm Details) explain.Hop {
	h := explain.Hop{Name: HopVM, Status: explain.Fail}
	switch vm.State {
	case Dead:
		h.Seen, h.Remedy = vm.Reason, "kvmrun stop "+vm.Name+" # and start it again"
	case Failed:
		h.Seen, h.Look = "it has ended: "+vm.Reason, "kvmrun logs "+vm.Name+"\nkvmrun logs --qemu "+vm.Name
	case Stopping:
		h.Seen = "it is shutting down"
	case Starting:
		h.Status, h.Seen = explain.Warn, "it is only starting"
		if vm.Details.Plan == nil {
			h.Status, h.Seen = explain.Fail, "it is only starting: its network is not made yet"
		}
	case Paused:
		h.Seen, h.Remedy = "its guest stands still", "kvmrun resume "+vm.Name
		if vm.Details.QEMU.Stopped() {
			h.Seen, h.Remedy = "a signal or a debugger has stopped its QEMU", fmt.Sprintf("kill -CONT %d", vm.PID)
		}
		if vm.Reason != "" {
			h.Seen += ": " + vm.Reason
		}
	default:
		h.Status, h.Seen = explain.OK, "its guest runs"
		if !vm.Supervised {
			h.Status, h.Seen, h.Remedy = explain.Warn, "its guest runs, but nobody supervises it and answers DHCP", "kvmrun adopt "+vm.Name
		}
	}
	return h
}
