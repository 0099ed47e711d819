package stats

// Rates are what a VM did between two looks, on average. A rate is nil where one of
// the looks lacks its figure, or where the counter went back.
type Rates struct {
	Seconds float64 `json:"seconds"` // between the looks
	// Percent of one processor: a guest with four may use 400, and QEMU somewhat more.
	CPU           *float64 `json:"cpu_percent,omitempty"`
	SupervisorCPU *float64 `json:"supervisor_cpu_percent,omitempty"`
	// Bytes and operations of all disks together, each a second.
	Read    *float64 `json:"disk_read_bytes_per_second,omitempty"`
	Written *float64 `json:"disk_written_bytes_per_second,omitempty"`
	Reads   *float64 `json:"disk_reads_per_second,omitempty"`
	Writes  *float64 `json:"disk_writes_per_second,omitempty"`
	// Bytes a second.
	Received *float64 `json:"network_received_bytes_per_second,omitempty"`
	Sent     *float64 `json:"network_sent_bytes_per_second,omitempty"`
}

// Between is what a VM did between two looks. It is nil if its QEMU is not the same in
// both: then it is another VM, or begins anew.
func Between(before, now VM) *Rates {
	seconds := now.Time.Sub(before.Time).Seconds()
	if !same(before.QEMU, now.QEMU) || seconds <= 0 {
		return nil
	}
	r := &Rates{Seconds: seconds}
	r.CPU = rate(before.QEMU.CPU, now.QEMU.CPU, seconds/100)
	if same(before.Supervisor, now.Supervisor) {
		r.SupervisorCPU = rate(before.Supervisor.CPU, now.Supervisor.CPU, seconds/100)
	}
	if before.Disks != nil && now.Disks != nil {
		was, is := common(before.Disks, now.Disks)
		r.Read = rate(was.ReadBytes, is.ReadBytes, seconds)
		r.Written = rate(was.WrittenBytes, is.WrittenBytes, seconds)
		r.Reads = rate(was.Reads, is.Reads, seconds)
		r.Writes = rate(was.Writes, is.Writes, seconds)
	}
	if before.Network != nil && now.Network != nil {
		r.Received = rate(before.Network.ReceivedBytes, now.Network.ReceivedBytes, seconds)
		r.Sent = rate(before.Network.SentBytes, now.Network.SentBytes, seconds)
	}
	return r
}

func same(a, b *Process) bool {
	return a != nil && b != nil && a.PID == b.PID && a.Start == b.Start
}

// rate is nil if the counter went back: it was begun anew.
func rate[N uint64 | float64](before, now N, seconds float64) *float64 {
	if now < before {
		return nil
	}
	r := float64(now-before) / seconds
	return &r
}

// common adds up the disks that are in both looks, and have only counted on.
func common(before, now []Disk) (was, is Disk) {
	earlier := make(map[string]Disk, len(before))
	for _, d := range before {
		earlier[d.Name] = d
	}
	for _, d := range now {
		e, ok := earlier[d.Name]
		if !ok || d.ReadBytes < e.ReadBytes || d.WrittenBytes < e.WrittenBytes || d.Reads < e.Reads || d.Writes < e.Writes {
			continue
		}
		was.add(e)
		is.add(d)
	}
	return was, is
}

func (d *Disk) add(other Disk) {
	d.ReadBytes += other.ReadBytes
	d.WrittenBytes += other.WrittenBytes
	d.Reads += other.Reads
	d.Writes += other.Writes
}

// All are the VM's disks together, without a name; ok is false if they are not known.
func (vm VM) All() (sum Disk, ok bool) {
	for _, d := range vm.Disks {
		sum.add(d)
	}
	return sum, vm.Disks != nil
}
