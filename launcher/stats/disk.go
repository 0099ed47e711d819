package stats

import (
	"encoding/json"
	"fmt"
	"strings"
)

// Disk is what a guest has done with one of its disks.
type Disk struct {
	// Name is QEMU's: disk0, disk1, … in the order of the VM's description, seed for
	// the one that cloud-init reads.
	Name         string  `json:"disk"`
	Image        string  `json:"image,omitempty"` // the file; "" if kvmrun did not open it
	ReadBytes    uint64  `json:"read_bytes"`
	Reads        uint64  `json:"reads"`
	ReadSeconds  float64 `json:"read_seconds"` // the times of all reads together
	WrittenBytes uint64  `json:"written_bytes"`
	Writes       uint64  `json:"writes"`
	WriteSeconds float64 `json:"write_seconds"`
	Flushes      uint64  `json:"flushes"`
	FlushSeconds float64 `json:"flush_seconds"`
	Failed       uint64  `json:"failed"` // reads, writes and flushes that failed
}

// blockStats is QEMU's BlockStats (qapi/block-core.json), as far as it matters here.
type blockStats struct {
	Device string `json:"device"`
	Node   string `json:"node-name"`
	QDev   string `json:"qdev"`
	Stats  struct {
		ReadBytes    uint64  `json:"rd_bytes"`
		WrittenBytes uint64  `json:"wr_bytes"`
		Reads        uint64  `json:"rd_operations"`
		Writes       uint64  `json:"wr_operations"`
		Flushes      uint64  `json:"flush_operations"`
		ReadTime     float64 `json:"rd_total_time_ns"`
		WriteTime    float64 `json:"wr_total_time_ns"`
		FlushTime    float64 `json:"flush_total_time_ns"`
		FailedReads  uint64  `json:"failed_rd_operations"`
		FailedWrites uint64  `json:"failed_wr_operations"`
		FailedFlush  uint64  `json:"failed_flush_operations"`
	} `json:"stats"`
}

// ParseDisks reads QEMU's reply to query-blockstats. Each disk has a name of its own.
func ParseDisks(reply []byte) ([]Disk, error) {
	var all []blockStats
	if err := json.Unmarshal(reply, &all); err != nil {
		return nil, fmt.Errorf("QEMU's query-blockstats: %w", err)
	}
	disks := make([]Disk, 0, len(all))
	known := map[string]bool{}
	for _, b := range all {
		name := b.name()
		if known[name] {
			name = b.QDev // two devices may share a node
		}
		if name == "" || known[name] {
			continue
		}
		known[name] = true
		s := b.Stats
		disks = append(disks, Disk{
			Name:      name,
			ReadBytes: s.ReadBytes, Reads: s.Reads, ReadSeconds: s.ReadTime / 1e9,
			WrittenBytes: s.WrittenBytes, Writes: s.Writes, WriteSeconds: s.WriteTime / 1e9,
			Flushes: s.Flushes, FlushSeconds: s.FlushTime / 1e9,
			Failed: s.FailedReads + s.FailedWrites + s.FailedFlush,
		})
	}
	return disks, nil
}

// name is what the disk is called: kvmrun's own are known by their nodes, those of
// QEMU's -drive by the name of the drive. Nodes that QEMU named itself begin with #.
func (b blockStats) name() string {
	switch {
	case b.Device != "":
		return b.Device
	case b.Node != "" && !strings.HasPrefix(b.Node, "#"):
		return b.Node
	}
	return b.QDev
}
