package stats

// families are all metrics of a VM, in the order in which they are written. A figure
// that is not known has no sample.
var families = []family{
	{"kvmrun_vm_state", gauge, "State that the VM is in.", func(vm VM, add add) { add(1, "state", vm.State) }},
	{"kvmrun_vm_supervised", gauge, "Whether a supervisor looks after the VM.", func(vm VM, add add) { add(float64(btoi(vm.Supervised))) }},
	{"kvmrun_vm_monitor_up", gauge, "Whether QEMU answered for its disks and the guest's memory.", monitorUp},
	{"kvmrun_vm_start_time_seconds", gauge, "When QEMU ran, since 1970.", func(vm VM, add add) {
		if !vm.Started.IsZero() {
			add(float64(vm.Started.UnixMilli()) / 1000)
		}
	}},
	{"kvmrun_vm_cpus", gauge, "Virtual processors.", func(vm VM, add add) { add(float64(vm.CPUs)) }},
	{"kvmrun_vm_memory_configured_bytes", gauge, "Memory that the guest was given at its start.", func(vm VM, add add) { add(float64(vm.Memory)) }},
	{"kvmrun_vm_memory_balloon_bytes", gauge, "Memory that the machine's balloon leaves the guest.", func(vm VM, add add) {
		if vm.Balloon != nil {
			add(float64(*vm.Balloon))
		}
	}},

	{"kvmrun_vm_cpu_seconds_total", counter, "Processor time that QEMU has used, the guest's in it.", cpuOf(qemuOf)},
	{"kvmrun_vm_memory_pss_bytes", gauge, "QEMU's proportional share of the host's memory.", memoryOf(qemuOf, (*Memory).pss)},
	{"kvmrun_vm_memory_private_bytes", gauge, "Memory of the host's that QEMU has for itself.", memoryOf(qemuOf, (*Memory).private)},
	{"kvmrun_vm_memory_swapped_bytes", gauge, "QEMU's proportional share of what the host has swapped out.", memoryOf(qemuOf, (*Memory).swapped)},

	{"kvmrun_supervisor_cpu_seconds_total", counter, "Processor time that the VM's supervisor has used.", cpuOf(supervisorOf)},
	{"kvmrun_supervisor_memory_pss_bytes", gauge, "The supervisor's proportional share of the host's memory.", memoryOf(supervisorOf, (*Memory).pss)},
	{"kvmrun_supervisor_memory_private_bytes", gauge, "Memory of the host's that the supervisor has for itself.", memoryOf(supervisorOf, (*Memory).private)},

	{"kvmrun_vm_guest_memory_size_bytes", gauge, "Memory that the guest says it has.", guestOf(func(g *GuestMemory) *uint64 { return g.Total })},
	{"kvmrun_vm_guest_memory_available_bytes", gauge, "Memory that the guest says programs could get.", guestOf(func(g *GuestMemory) *uint64 { return g.Available })},
	{"kvmrun_vm_guest_memory_free_bytes", gauge, "Memory that the guest says nothing uses.", guestOf(func(g *GuestMemory) *uint64 { return g.Free })},
	{"kvmrun_vm_guest_memory_caches_bytes", gauge, "Memory that the guest says it has disks cached in.", guestOf(func(g *GuestMemory) *uint64 { return g.Caches })},
	{"kvmrun_vm_guest_memory_swapped_in_bytes_total", counter, "What the guest says it has swapped in.", guestOf(func(g *GuestMemory) *uint64 { return g.SwappedIn })},
	{"kvmrun_vm_guest_memory_swapped_out_bytes_total", counter, "What the guest says it has swapped out.", guestOf(func(g *GuestMemory) *uint64 { return g.SwappedOut })},
	{"kvmrun_vm_guest_memory_measured_timestamp_seconds", gauge, "When the guest said so, since 1970.", func(vm VM, add add) {
		if vm.Guest != nil {
			add(float64(vm.Guest.Measured.Unix()))
		}
	}},

	{"kvmrun_vm_disk_read_bytes_total", counter, "Bytes that the guest has read.", diskOf(func(d Disk) float64 { return float64(d.ReadBytes) })},
	{"kvmrun_vm_disk_reads_completed_total", counter, "Reads of the guest's.", diskOf(func(d Disk) float64 { return float64(d.Reads) })},
	{"kvmrun_vm_disk_read_time_seconds_total", counter, "Times of all reads together.", diskOf(func(d Disk) float64 { return d.ReadSeconds })},
	{"kvmrun_vm_disk_written_bytes_total", counter, "Bytes that the guest has written.", diskOf(func(d Disk) float64 { return float64(d.WrittenBytes) })},
	{"kvmrun_vm_disk_writes_completed_total", counter, "Writes of the guest's.", diskOf(func(d Disk) float64 { return float64(d.Writes) })},
	{"kvmrun_vm_disk_write_time_seconds_total", counter, "Times of all writes together.", diskOf(func(d Disk) float64 { return d.WriteSeconds })},
	{"kvmrun_vm_disk_flush_requests_total", counter, "Flushes of the guest's.", diskOf(func(d Disk) float64 { return float64(d.Flushes) })},
	{"kvmrun_vm_disk_flush_requests_time_seconds_total", counter, "Times of all flushes together.", diskOf(func(d Disk) float64 { return d.FlushSeconds })},
	{"kvmrun_vm_disk_failed_requests_total", counter, "Reads, writes and flushes that failed.", diskOf(func(d Disk) float64 { return float64(d.Failed) })},

	{"kvmrun_vm_network_receive_bytes_total", counter, "Bytes that went to the guest.", networkOf(func(n *Network) uint64 { return n.ReceivedBytes })},
	{"kvmrun_vm_network_receive_packets_total", counter, "Packets that went to the guest.", networkOf(func(n *Network) uint64 { return n.ReceivedPackets })},
	{"kvmrun_vm_network_receive_drop_total", counter, "Packets for which the guest had no room.", networkOf(func(n *Network) uint64 { return n.ReceivedDropped })},
	{"kvmrun_vm_network_transmit_bytes_total", counter, "Bytes that came from the guest.", networkOf(func(n *Network) uint64 { return n.SentBytes })},
	{"kvmrun_vm_network_transmit_packets_total", counter, "Packets that came from the guest.", networkOf(func(n *Network) uint64 { return n.SentPackets })},
	{"kvmrun_vm_network_transmit_drop_total", counter, "Packets of the guest's that the host had no room for.", networkOf(func(n *Network) uint64 { return n.SentDropped })},
}

// monitorUp has no sample of a VM whose QEMU does not run.
func monitorUp(vm VM, add add) {
	if vm.QEMU != nil {
		add(float64(btoi(vm.Disks != nil)))
	}
}

func qemuOf(vm VM) *Process       { return vm.QEMU }
func supervisorOf(vm VM) *Process { return vm.Supervisor }

func (m *Memory) pss() uint64     { return m.PSS }
func (m *Memory) private() uint64 { return m.Private }
func (m *Memory) swapped() uint64 { return m.Swapped }

func cpuOf(which func(VM) *Process) func(VM, add) {
	return func(vm VM, add add) {
		if p := which(vm); p != nil {
			add(p.CPU)
		}
	}
}

func memoryOf(which func(VM) *Process, what func(*Memory) uint64) func(VM, add) {
	return func(vm VM, add add) {
		if p := which(vm); p != nil && p.Memory != nil {
			add(float64(what(p.Memory)))
		}
	}
}

func guestOf(what func(*GuestMemory) *uint64) func(VM, add) {
	return func(vm VM, add add) {
		if vm.Guest == nil {
			return
		}
		if value := what(vm.Guest); value != nil {
			add(float64(*value))
		}
	}
}

func diskOf(what func(Disk) float64) func(VM, add) {
	return func(vm VM, add add) {
		for _, d := range vm.Disks {
			add(what(d), "disk", d.Name)
		}
	}
}

func networkOf(what func(*Network) uint64) func(VM, add) {
	return func(vm VM, add add) {
		if vm.Network != nil {
			add(float64(what(vm.Network)))
		}
	}
}
