package images

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"testing"
)

// grow grows the image at a path.
func grow(t *testing.T, path string, size int64) error {
	t.Helper()
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	must(t, err)
	defer func() { must(t, f.Close()) }()
	return Grow(f, size)
}

// TestGrow has QEMU's own code write to a disk, grows it, and has it write behind what
// was there.
func TestGrow(t *testing.T) {
	need(t, "qemu-io")
	for name, sizes := range map[string][2]int64{
		"within one table":    {1 << 20, 200 << 20},
		"to more tables":      {512 << 20, 3<<40 + 512},
		"to the last of them": {1 << 30, 4 << 40},
	} {
		t.Run(name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "top.qcow2")
			must(t, CreateOverlay(path, Overlay{VirtualSize: sizes[0]}))
			blank, err := Inspect(path, QCOW2)
			must(t, err)
			tool(t, "qemu-io", "-f", "qcow2", "-c", "write -P 0x5a 300k 100k", path)
			must(t, grow(t, path, sizes[1]))
			if d := describe(t, path); d.VirtualSize != sizes[1] {
				t.Errorf("qemu-img reads %+v", d)
			}
			tool(t, "qemu-io", "-f", "qcow2", "-c", "read -P 0x5a 300k 100k", "-c", "read -P 0 600k 400k", path)
			tool(t, "qemu-io", "-f", "qcow2", "-c", fmt.Sprintf("write -P 0x77 %d 512", sizes[1]-512), path)
			if status := checkStatus(t, path); status != 0 {
				t.Errorf("qemu-img check says %d", status)
			}
			written, err := Inspect(path, QCOW2)
			must(t, err)
			if !blank.Blank || written.Blank || written.VirtualSize != sizes[1] {
				t.Errorf("before %+v, after %+v", blank, written)
			}
			must(t, grow(t, path, sizes[0])) // it never shrinks
			if now, err := Inspect(path, QCOW2); err != nil || now.VirtualSize != sizes[1] {
				t.Errorf("%+v, %v", now, err)
			}
		})
	}
}

func TestGrowThatCannotBe(t *testing.T) {
	path := filepath.Join(t.TempDir(), "top.qcow2")
	must(t, CreateOverlay(path, Overlay{VirtualSize: 1 << 20}))
	before, err := os.ReadFile(path)
	must(t, err)
	for _, size := range []int64{1<<20 + 1, 4<<40 + 512, 1 << 62} {
		if err := grow(t, path, size); !errors.Is(err, ErrSize) {
			t.Errorf("to %d: %v", size, err)
		}
	}
	after, err := os.ReadFile(path)
	must(t, err)
	if string(before) != string(after) {
		t.Error("it was written to")
	}
}

// TestBaseThatIsKnown opens overlays on a base whose folder was moved, and refuses those
// that name another.
func TestBaseThatIsKnown(t *testing.T) {
	folder, moved := t.TempDir(), t.TempDir()
	path, base := filepath.Join(folder, "top.qcow2"), filepath.Join(moved, "base.qcow2")
	overlay := func(on string) {
		t.Helper()
		_ = os.Remove(path)
		must(t, CreateOverlay(path, Overlay{VirtualSize: 1 << 20, BackingFile: on, BackingFormat: QCOW2}))
	}
	plain(t, base)
	overlay("/gone/base.qcow2")
	c, err := Open(path, Options{Base: base})
	must(t, err)
	if len(c.Layers) != 2 || c.Layers[1].Path != base || !c.Layers[1].ReadOnly {
		t.Errorf("layers %+v", c.Layers)
	}
	must(t, c.Close())
	if _, err := Open(path, Options{}); !errors.Is(err, ErrBacking) {
		t.Errorf("the header was not followed: %v", err)
	}
	plain(t, filepath.Join(moved, "other.qcow2"))
	for _, c := range []struct {
		name string
		make func()
	}{
		{"another", func() { overlay(filepath.Join(moved, "other.qcow2")) }},
		{"gone", func() { overlay(base); must(t, os.Remove(base)) }},
		{"itself", func() { must(t, os.Link(path, base)) }},
		{"on another", func() {
			must(t, os.Remove(base))
			must(t, CreateOverlay(base, Overlay{VirtualSize: 1 << 20, BackingFile: "other.qcow2", BackingFormat: QCOW2}))
		}},
	} {
		c.make()
		if _, err := Open(path, Options{Base: base}); !errors.Is(err, ErrBacking) {
			t.Errorf("%s: %v", c.name, err)
		}
	}
	overlay("")
	c, err = Open(path, Options{Base: base})
	must(t, err)
	if len(c.Layers) != 1 {
		t.Errorf("one that has no backing file got one: %+v", c.Layers)
	}
	must(t, c.Close())
}
