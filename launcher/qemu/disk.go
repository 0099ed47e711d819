package qemu

import (
	"encoding/json"
	"fmt"
)

// disks are explicit block nodes, so that QEMU never opens a path which it
// found in an image's header, and one device for each disk.
func (c Config) disks() []string {
	var args []string
	for i, d := range c.Disks {
		args = append(args, d.nodes()...)
		device := c.virtio("blk") + ",id=" + d.ID + "-dev,drive=" + d.ID
		if c.Boot.Kernel == "" && !d.Data {
			device += fmt.Sprintf(",bootindex=%d", i+1)
		}
		args = append(args, "-device", device)
	}
	return args
}

// nodes are the disk's block nodes, the lowest layer's first.
func (d Disk) nodes() []string {
	var args []string
	for n := len(d.Layers) - 1; n >= 0; n-- {
		args = append(args, "-blockdev", d.fileNode(n), "-blockdev", d.formatNode(n))
	}
	return args
}

// node names the format node of layer n: the top one is the disk itself.
func (d Disk) node(n int) string {
	if n == 0 {
		return d.ID
	}
	return fmt.Sprintf("%s-backing%d", d.ID, n)
}

// fileNode opens the bytes of layer n (QEMU: qapi/block-core.json,
// BlockdevOptionsFile).
func (d Disk) fileNode(n int) string {
	l := d.Layers[n]
	driver := "file"
	if l.Block {
		driver = "host_device"
	}
	return node(struct {
		Driver   string `json:"driver"`
		Node     string `json:"node-name"`
		Filename string `json:"filename"`
		ReadOnly bool   `json:"read-only"`
		Discard  string `json:"discard"`
	}{driver, d.node(n) + "-file", string(l.Source), l.ReadOnly, "unmap"})
}

// formatNode understands the bytes of layer n. A qcow2 layer states what
// stands behind it even if that is nothing: otherwise QEMU would follow the
// header.
func (d Disk) formatNode(n int) string {
	l := d.Layers[n]
	type common struct {
		Driver   string `json:"driver"`
		Node     string `json:"node-name"`
		File     string `json:"file"`
		ReadOnly bool   `json:"read-only"`
		Discard  string `json:"discard"`
	}
	base := common{l.Format, d.node(n), d.node(n) + "-file", l.ReadOnly, "unmap"}
	if l.Format == "raw" {
		return node(base)
	}
	var backing *string
	if n+1 < len(d.Layers) {
		name := d.node(n + 1)
		backing = &name
	}
	return node(struct {
		common
		Backing *string `json:"backing"`
	}{base, backing})
}

// node writes a -blockdev in its JSON form, which needs no escaping rules of
// QEMU's own.
func node(v any) string {
	text, err := json.Marshal(v)
	if err != nil {
		panic(err) // plain strings and booleans always marshal
	}
	return string(text)
}
