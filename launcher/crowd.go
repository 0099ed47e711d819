package launcher

import (
	"time"

	"kvmrun/launcher/process"
	"kvmrun/netplumb"
)

// A crowd asks the QEMUs of several VMs to end, as soon as each is ready to be
// asked, and deletes their taps together. The kernel takes some 20 ms for each
// tap that goes by itself, one after another; a hundred that go together take
// hardly longer than one.
//
// First QEMU is asked, then its tap goes: whoever is killed in between has left
// no VM that goes on without its network. What the guest could still send or get
// in that time is lost with it anyhow.
type crowd struct {
	host  *netplumb.Host
	ready chan *leaver
	ended chan struct{}
}

// leaver is a VM whose QEMU is to be asked.
type leaver struct {
	qemu  *process.Handle
	plan  *netplumb.Plan // nil if it has none
	asked chan error
}

// gatherTime is how long others are waited for after the last that came.
const gatherTime = 5 * time.Millisecond

// gather makes a crowd of the VMs that are stopped together. The caller
// disperses it. Without a netlink socket, or a second VM, there is none: nil.
func (l *Launcher) gather(vms int) *crowd {
	if vms < 2 {
		return nil
	}
	host, err := netplumb.OpenHost(l.root.Net())
	if err != nil {
		return nil
	}
	c := &crowd{host: host, ready: make(chan *leaver), ended: make(chan struct{})}
	go c.run()
	return c
}

// disperse ends a crowd that nobody asks any more.
func (c *crowd) disperse() {
	if c == nil {
		return
	}
	close(c.ready)
	<-c.ended
	_ = c.host.Close()
}

// ask asks a VM's QEMU to end, with others if there are any.
func (c *crowd) ask(qemu *process.Handle, plan *netplumb.Plan) error {
	if c == nil {
		return askQEMU(qemu)
	}
	one := &leaver{qemu: qemu, plan: plan, asked: make(chan error, 1)}
	c.ready <- one
	return <-one.asked
}

func (c *crowd) run() {
	defer close(c.ended)
	for one := range c.ready {
		c.leave(c.joinedBy(one))
	}
}

// joinedBy are the first and all who come soon after one another.
func (c *crowd) joinedBy(first *leaver) []*leaver {
	all := []*leaver{first}
	for {
		select {
		case one, ok := <-c.ready:
			if !ok {
				return all
			}
			all = append(all, one)
		case <-time.After(gatherTime):
			return all
		}
	}
}

// leave asks all QEMUs and deletes their taps. A tap that stays goes with its
// QEMU.
func (c *crowd) leave(all []*leaver) {
	var plans []*netplumb.Plan
	for _, one := range all {
		if one.plan != nil {
			plans = append(plans, one.plan)
		}
	}
	taps, err := c.host.FindTaps(plans)
	for _, one := range all {
		one.asked <- askQEMU(one.qemu)
	}
	if err == nil {
		_ = taps.Delete()
	}
}
