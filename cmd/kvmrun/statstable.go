package main

import (
	"bytes"
	"fmt"
	"strings"
	"text/tabwriter"
	"time"

	"kvmrun/launcher/stats"
)

// nothing stands where a figure is not known.
const nothing = "-"

// statsTable is the figures of VMs for people, and below why some are not known. With
// rates it shows what goes on, and otherwise what has been.
func statsTable(vms []stats.VM, rates bool) []byte {
	var b bytes.Buffer
	w := tabwriter.NewWriter(&b, 0, 0, 2, ' ', 0)
	columns := "NAME STATE CPU MEMORY OF GUEST_USES READ WRITTEN RECEIVED SENT SUPERVISOR"
	if rates {
		columns = "NAME STATE CPU MEMORY OF GUEST_USES READ/s WRITTEN/s RECEIVED/s SENT/s SUPERVISOR"
	}
	row := func(cells []string) { _, _ = fmt.Fprintln(w, strings.Join(cells, "\t")) }
	header := strings.Fields(columns)
	header[5] = strings.ReplaceAll(header[5], "_", " ")
	row(header)
	for _, vm := range vms {
		flow := soFar(vm)
		if rates {
			flow = aSecond(vm.Rates)
		}
		used := nothing
		if bytes, ok := vm.Guest.Used(); ok {
			used = bytesText(bytes)
		}
		row([]string{
			vm.Name, statsState(vm), flow.cpu, memoryText(vm.QEMU), givenText(vm), used,
			flow.read, flow.written, flow.received, flow.sent, supervisorText(vm.Supervisor, flow.supervisor),
		})
	}
	_ = w.Flush() // into memory
	for _, vm := range vms {
		for _, u := range vm.Unknown {
			fmt.Fprintf(&b, "\n%s: %s unknown: %s\n", vm.Name, partNames[u.Part], strings.Join(harmlessLines(u.Error), "\n"))
		}
	}
	return b.Bytes()
}

var partNames = map[stats.Part]string{
	stats.PartQEMU: "QEMU's processor time or memory is", stats.PartSupervisor: "the supervisor's processor time or memory is",
	stats.PartMonitor: "disks and the guest's memory are", stats.PartNetwork: "the network's counters are",
}

// flow is what goes through a VM, as a table has it.
type flow struct{ cpu, supervisor, read, written, received, sent string }

// soFar is what has been since QEMU started.
func soFar(vm stats.VM) flow {
	f := flow{cpuText(vm.QEMU), cpuText(vm.Supervisor), nothing, nothing, nothing, nothing}
	if all, ok := vm.All(); ok {
		f.read, f.written = bytesText(all.ReadBytes), bytesText(all.WrittenBytes)
	}
	if n := vm.Network; n != nil {
		f.received, f.sent = bytesText(n.ReceivedBytes), bytesText(n.SentBytes)
	}
	return f
}

// aSecond is what goes on.
func aSecond(r *stats.Rates) flow {
	if r == nil {
		r = &stats.Rates{}
	}
	percent := func(p *float64) string {
		if p == nil {
			return nothing
		}
		return fmt.Sprintf("%.1f%%", *p)
	}
	bytes := func(p *float64) string {
		if p == nil {
			return nothing
		}
		return bytesText(uint64(*p))
	}
	return flow{percent(r.CPU), percent(r.SupervisorCPU), bytes(r.Read), bytes(r.Written), bytes(r.Received), bytes(r.Sent)}
}

// statsState marks a VM that nobody looks after.
func statsState(vm stats.VM) string {
	if !vm.Supervised && vm.QEMU != nil {
		return vm.State + " (unsupervised)"
	}
	return vm.State
}

// givenText is the memory that the guest has by now.
func givenText(vm stats.VM) string {
	if vm.Balloon != nil {
		return bytesText(*vm.Balloon)
	}
	return sizeText(vm.Memory)
}

func memoryText(p *stats.Process) string {
	if p == nil || p.Memory == nil {
		return nothing
	}
	return bytesText(p.PSS)
}

// supervisorText is what a supervisor costs.
func supervisorText(p *stats.Process, cpu string) string {
	if p == nil {
		return nothing
	}
	return cpu + ", " + memoryText(p)
}

// cpuText is processor time: 0.25s, 61.5s, 2h5m11s.
func cpuText(p *stats.Process) string {
	if p == nil {
		return nothing
	}
	used := time.Duration(p.CPU * float64(time.Second))
	if used < 100*time.Second {
		return fmt.Sprintf("%.2fs", used.Seconds())
	}
	return used.Round(time.Second).String()
}

// bytesText is sizeText for a counter.
func bytesText(bytes uint64) string { return sizeText(int64(min(bytes, 1<<63-1))) }
