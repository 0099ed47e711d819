package launcher

import (
	"context"
	"errors"
	"io/fs"
	"slices"
	"time"

	"kvmrun/launcher/process"
	"kvmrun/launcher/stats"
	"kvmrun/netplumb"
)

// StatsOptions say how VMs are looked at. Zero fields take the defaults.
type StatsOptions struct {
	// Timeout is how long to wait for each VM's monitor, which serves one client at a
	// time; DefaultStatsTimeout.
	Timeout time.Duration
}

// DefaultStatsTimeout is how long a monitor has to answer for a VM's figures.
const DefaultStatsTimeout = time.Second

// statsAtOnce is how many VMs are looked at at the same time. What takes long is to
// wait for monitors.
const statsAtOnce = 64

// Stats looks at the VMs that are named, in that order, or without any name at all that
// have not failed, in the order of their names. One that ends while it is looked at is
// left out, and so is a part of one that cannot be looked at: VM.Unknown says why.
//
// What failed comes beside those that did not: a VM that is named and not there
// (KindNotFound), a record that cannot be read.
func (l *Launcher) Stats(ctx context.Context, names []string, o StatsOptions) ([]stats.VM, error) {
	setDefault(&o.Timeout, DefaultStatsTimeout)
	all := len(names) == 0
	if all {
		var err error
		if names, err = l.root.Names(); err != nil {
			return nil, during("stats", err)
		}
	}
	vms, errs := l.lookAtAll(once(names), all)
	traffic, failed := l.traffic(vms)
	found := make([]*stats.VM, len(vms))
	eachOf(len(vms), statsAtOnce, func(i int) {
		if vms[i] == nil {
			return
		}
		vm := figures(vms[i])
		vm.addNetwork(vms[i], traffic, failed)
		vm.addMonitor(ctx, l, vms[i], o.Timeout)
		found[i] = &vm.VM
	})
	if ctx.Err() != nil {
		return nil, during("stats", ctx.Err())
	}
	known := make([]stats.VM, 0, len(vms))
	for _, vm := range found {
		if vm != nil {
			known = append(known, *vm)
		}
	}
	return known, errors.Join(errs...)
}

// once leaves out what is there a second time.
func once(names []string) []string {
	seen := make(map[string]bool, len(names))
	return slices.DeleteFunc(slices.Clone(names), func(name string) bool {
		again := seen[name]
		seen[name] = true
		return again
	})
}

// lookAtAll is look for several VMs; nil is one that is not there, or not wanted.
func (l *Launcher) lookAtAll(names []string, all bool) (vms []*Details, errs []error) {
	vms, errs = make([]*Details, len(names)), make([]error, len(names))
	each(len(names), func(i int) {
		var d Details
		dir, err := l.dir(names[i])
		if err == nil {
			d, err = l.look(dir)
		}
		switch gone := KindOf(err) == KindNotFound || errors.Is(err, fs.ErrNotExist); {
		case gone && all:
		case gone:
			errs[i] = during("stats of "+printableName(names[i]), noSuchVM(names[i]))
		case err != nil:
			errs[i] = during("stats of "+printableName(names[i]), err)
		case !all || d.State != Failed:
			vms[i] = &d
		}
	})
	return vms, errs
}

// traffic reads the counters of all taps in one look.
func (l *Launcher) traffic(vms []*Details) (map[string]netplumb.TapTraffic, error) {
	var plans []*netplumb.Plan
	for _, vm := range vms {
		if vm != nil && vm.Details.Plan != nil {
			plans = append(plans, vm.Details.Plan)
		}
	}
	if len(plans) == 0 {
		return nil, nil
	}
	host, err := netplumb.OpenHost(l.root.Net())
	if err != nil {
		return nil, err
	}
	defer func() { _ = host.Close() }()
	return host.Traffic(plans)
}

// sample is a VM's figures as they are gathered.
type sample struct{ stats.VM }

// unknown notes why a part of the VM could not be looked at.
func (s *sample) unknown(part stats.Part, err error) {
	s.Unknown = append(s.Unknown, stats.Unknown{Part: part, Error: err.Error()})
}

// figures are those that the record and /proc have.
func figures(vm *Details) *sample {
	s := &sample{stats.VM{
		Name: vm.Name, UUID: vm.UUID, State: string(vm.State), Supervised: vm.Supervised,
		Time: time.Now().UTC(), Started: vm.Started, CPUs: vm.Spec.CPUs, Memory: vm.Spec.Memory,
	}}
	if vm.PID != 0 {
		s.QEMU = s.process(stats.PartQEMU, vm.Details.QEMU)
	}
	if vm.Supervised {
		s.Supervisor = s.process(stats.PartSupervisor, vm.Details.Supervisor)
	}
	return s
}

// process is nil if the process has ended.
func (s *sample) process(part stats.Part, id process.ID) *stats.Process {
	u, err := id.Usage()
	if errors.Is(err, process.ErrGone) {
		return nil
	}
	if err != nil {
		s.unknown(part, err)
		return nil
	}
	p := &stats.Process{PID: id.PID, Start: id.Start, CPU: u.CPU.Seconds()}
	if u.Memory == nil {
		s.unknown(part, errors.New("its memory may not be looked at; run it by sudo, with CAP_SYS_PTRACE"))
		return p
	}
	p.Memory = &stats.Memory{PSS: u.Memory.PSS, Private: u.Memory.Private, Swapped: u.Memory.Swapped}
	return p
}

// addNetwork adds what went over the VM's tap. One that has gone has no counters.
func (s *sample) addNetwork(vm *Details, all map[string]netplumb.TapTraffic, err error) {
	if err != nil && vm.Details.Plan != nil {
		s.unknown(stats.PartNetwork, err)
		return
	}
	t, ok := all[vm.Tap]
	if !ok || vm.Details.Plan == nil {
		return
	}
	s.Network = &stats.Network{
		Tap:           vm.Tap,
		ReceivedBytes: t.Received.Bytes, ReceivedPackets: t.Received.Packets, ReceivedDropped: t.Received.Dropped,
		SentBytes: t.Sent.Bytes, SentPackets: t.Sent.Packets, SentDropped: t.Sent.Dropped,
	}
}
