package qemu

import (
	"encoding/json"
	"slices"
	"testing"
)

// A chain of three layers becomes six nodes, the lowest first, of which each
// says what stands behind it.
func TestBackingChainIsSpelledOut(t *testing.T) {
	c := Config{Machine: Q35, Disks: []Disk{{ID: "disk0", Layers: []Layer{
		{Source: `/dev/fdset/1`, Format: "qcow2"},
		{Source: `/images/with "quotes", and commas`, Format: "qcow2", ReadOnly: true},
		{Source: "/dev/vg/base", Format: "raw", Block: true, ReadOnly: true},
	}}}}
	args := c.disks()
	type fields = map[string]any
	want := []fields{
		{"driver": "host_device", "node-name": "disk0-backing2-file", "filename": "/dev/vg/base", "read-only": true, "discard": "unmap"},
		{"driver": "raw", "node-name": "disk0-backing2", "file": "disk0-backing2-file", "read-only": true, "discard": "unmap"},
		{"driver": "file", "node-name": "disk0-backing1-file", "filename": `/images/with "quotes", and commas`, "read-only": true, "discard": "unmap"},
		{"driver": "qcow2", "node-name": "disk0-backing1", "file": "disk0-backing1-file", "read-only": true, "discard": "unmap", "backing": "disk0-backing2"},
		{"driver": "file", "node-name": "disk0-file", "filename": "/dev/fdset/1", "read-only": false, "discard": "unmap"},
		{"driver": "qcow2", "node-name": "disk0", "file": "disk0-file", "read-only": false, "discard": "unmap", "backing": "disk0-backing1"},
	}
	nodes := values(args, "-blockdev")
	if len(nodes) != len(want) {
		t.Fatalf("%d nodes, want %d: %q", len(nodes), len(want), nodes)
	}
	for i, text := range nodes {
		var got fields
		if err := json.Unmarshal([]byte(text), &got); err != nil {
			t.Fatalf("%s: %v", text, err)
		}
		for key := range got {
			if got[key] != want[i][key] {
				t.Errorf("node %d: %s is %v, want %v", i, key, got[key], want[i][key])
			}
		}
		if len(got) != len(want[i]) {
			t.Errorf("node %d is %s", i, text)
		}
	}
}

// Without a layer behind it, a qcow2 image says so: QEMU would otherwise open
// what the header names.
func TestImageWithoutBackingSaysSo(t *testing.T) {
	d := Disk{ID: "disk0", Layers: []Layer{{Source: "x", Format: "qcow2"}}}
	var node map[string]any
	if err := json.Unmarshal([]byte(d.formatNode(0)), &node); err != nil {
		t.Fatal(err)
	}
	if backing, ok := node["backing"]; !ok || backing != nil {
		t.Errorf("backing is %v, want null", backing)
	}
}

func TestDevices(t *testing.T) {
	layer := []Layer{{Source: "x", Format: "raw"}}
	two := []Disk{{ID: "disk0", Layers: layer}, {ID: "disk1", Layers: layer}}
	for _, c := range []struct {
		name   string
		config Config
		want   []string
	}{
		{"in order", Config{Machine: Q35, Disks: two}, []string{
			"virtio-blk-pci,id=disk0-dev,drive=disk0,bootindex=1", "virtio-blk-pci,id=disk1-dev,drive=disk1,bootindex=2"}},
		{"beside a kernel", Config{Machine: Q35, Disks: two[:1], Boot: Boot{Kernel: "k"}}, []string{"virtio-blk-pci,id=disk0-dev,drive=disk0"}},
		{"microvm", Config{Machine: MicroVM, Disks: two[:1], Boot: Boot{Kernel: "k"}}, []string{"virtio-blk-device,id=disk0-dev,drive=disk0"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			if got := values(c.config.disks(), "-device"); !slices.Equal(got, c.want) {
				t.Errorf("got %q, want %q", got, c.want)
			}
		})
	}
}
