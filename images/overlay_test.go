package images

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// described is what qemu-img info prints.
type described struct {
	Format        string `json:"format"`
	VirtualSize   int64  `json:"virtual-size"`
	BackingFile   string `json:"backing-filename"`
	BackingFormat string `json:"backing-filename-format"`
	FullBacking   string `json:"full-backing-filename"`
}

func describe(t *testing.T, path string) described {
	t.Helper()
	var d described
	must(t, json.Unmarshal([]byte(qemuImg(t, "info", "--output=json", path)), &d))
	return d
}

func TestOverlayForQEMU(t *testing.T) {
	folder := t.TempDir()
	writeFile(t, filepath.Join(folder, "base.raw"), make([]byte, 1<<20))
	plain(t, filepath.Join(folder, "base:1.qcow2"))
	for name, o := range map[string]Overlay{
		"empty":      {VirtualSize: 20 << 30},
		"on raw":     {VirtualSize: 1 << 20, BackingFile: "base.raw", BackingFormat: Raw},
		"on qcow2":   {VirtualSize: 1 << 30, BackingFile: "base:1.qcow2", BackingFormat: QCOW2},
		"absolute":   {VirtualSize: 512, BackingFile: filepath.Join(folder, "base.raw"), BackingFormat: Raw},
		"huge":       {VirtualSize: 1 << 47},
		"a sector":   {VirtualSize: 512},
		"L1 to fill": {VirtualSize: 4 << 40},
	} {
		t.Run(name, func(t *testing.T) {
			path := filepath.Join(folder, strings.ReplaceAll(name, " ", "-")+".qcow2")
			must(t, CreateOverlay(path, o))
			if status := checkStatus(t, path); status != 0 {
				t.Errorf("qemu-img check says %d", status)
			}
			d := describe(t, path)
			if d.Format != "qcow2" || d.VirtualSize != o.VirtualSize || d.BackingFormat != string(o.BackingFormat) ||
				strings.TrimPrefix(d.BackingFile, "./") != o.BackingFile {
				t.Errorf("wrote %+v, qemu-img reads %+v", o, d)
			}
			info, err := Inspect(path, "")
			must(t, err)
			if info.VirtualSize != o.VirtualSize || info.Allocated > 64<<10 {
				t.Errorf("wrote %+v, read %+v", o, info)
			}
			c, err := Open(path, Options{})
			must(t, err)
			must(t, c.Close())
		})
	}
}

// TestOverlayHoldsData has QEMU's own code write through an overlay.
func TestOverlayHoldsData(t *testing.T) {
	need(t, "qemu-io")
	folder := t.TempDir()
	disk := patterned(4 << 20)
	base := writeFile(t, filepath.Join(folder, "base.raw"), disk)
	path := filepath.Join(folder, "top.qcow2")
	must(t, CreateOverlay(path, Overlay{VirtualSize: int64(len(disk)), BackingFile: "base.raw", BackingFormat: Raw}))
	tool(t, "qemu-io", "-f", "qcow2", "-c", "write -P 0x5a 1M 300k", path)
	if status := checkStatus(t, path); status != 0 {
		t.Errorf("qemu-img check says %d", status)
	}
	for i := 1 << 20; i < 1<<20+300<<10; i++ {
		disk[i] = 0x5a
	}
	want := writeFile(t, filepath.Join(folder, "want.raw"), disk)
	qemuImg(t, "compare", "-f", "raw", "-F", "qcow2", want, path)
	if unchanged, err := os.ReadFile(base); err != nil || string(unchanged) != string(patterned(4<<20)) {
		t.Errorf("the base was written: %v", err)
	}
}

func TestUnnamedOverlayLeavesNothing(t *testing.T) {
	folder := t.TempDir()
	for name, create := range map[string]func() (*os.File, error){
		"unnamed":  func() (*os.File, error) { return NewOverlay(folder, 1<<30) },
		"unlinked": func() (*os.File, error) { return unlinked(folder) }, // where O_TMPFILE is not known
	} {
		f, err := create()
		must(t, err)
		if entries, err := os.ReadDir(folder); err != nil || len(entries) != 0 {
			t.Errorf("%s: the folder has %v, %v", name, entries, err)
		}
		again := filepath.Join(folder, "again")
		err = unix.Linkat(unix.AT_FDCWD, fmt.Sprint("/proc/self/fd/", f.Fd()), unix.AT_FDCWD, again, unix.AT_SYMLINK_FOLLOW)
		if err == nil {
			t.Errorf("%s: the file can be given a name", name)
		}
		must(t, f.Close())
	}
}

// TestPassingNames knows what is left of an overlay whose maker was killed, and
// nothing else.
func TestPassingNames(t *testing.T) {
	f, err := unlinked(t.TempDir())
	must(t, err)
	defer func() { _ = f.Close() }()
	for name, want := range map[string]bool{
		filepath.Base(f.Name()): true, passingPrefix + "123": true, passingPrefix: false, passingPrefix + "notes": false, "x" + passingPrefix + "1": false,
	} {
		if IsPassing(name) != want {
			t.Errorf("%s: %v", name, !want)
		}
	}
}

func TestOverlayErrors(t *testing.T) {
	folder := t.TempDir()
	taken := writeFile(t, filepath.Join(folder, "taken"), []byte("precious"))
	good := Overlay{VirtualSize: 1 << 20}
	backed := func(name string, format Format) Overlay { return Overlay{1 << 20, name, format} }
	for _, test := range []struct {
		path string
		o    Overlay
		kind error
	}{
		{taken, good, ErrCreate},
		{filepath.Join(folder, "no", "folder"), good, ErrNotExist},
		{filepath.Join(taken, "x"), good, ErrNotExist},
		{filepath.Join(folder, "x"), Overlay{VirtualSize: 1000}, ErrSize},
		{filepath.Join(folder, "x"), backed("base", ""), ErrFormat},
		{filepath.Join(folder, "x"), backed("base", "vmdk"), ErrFormat},
		{filepath.Join(folder, "x"), backed("a\x00b", Raw), ErrBacking},
		{filepath.Join(folder, "x"), backed(strings.Repeat("x", 1024), Raw), ErrBacking},
	} {
		wantKind(t, CreateOverlay(test.path, test.o), test.kind)
	}
	image, bad := newLayout(good)
	if bad != nil {
		t.Fatal(bad)
	}
	wantKind(t, createByLink(taken, image), ErrCreate)
	if err := CreateOverlay(taken, good); !errors.Is(err, fs.ErrExist) {
		t.Errorf("%v is not fs.ErrExist", err)
	}
	if content, err := os.ReadFile(taken); err != nil || string(content) != "precious" {
		t.Errorf("the file in the way was touched: %q, %v", content, err)
	}
	wantFiles(t, folder, "taken")

	must(t, createByLink(filepath.Join(folder, "linked"), image))
	if _, err := Inspect(filepath.Join(folder, "linked"), QCOW2); err != nil {
		t.Error(err)
	}
	wantFiles(t, folder, "linked", "taken")
	_, err := NewOverlay(filepath.Join(folder, "gone"), 1<<20)
	wantKind(t, err, ErrNotExist)
	_, err = NewOverlay(folder, -1)
	wantKind(t, err, ErrSize)
}

func wantFiles(t *testing.T, folder string, names ...string) {
	t.Helper()
	entries, err := os.ReadDir(folder)
	must(t, err)
	var found []string
	for _, e := range entries {
		found = append(found, e.Name())
	}
	if strings.Join(found, " ") != strings.Join(names, " ") {
		t.Errorf("the folder has %q, not %q", found, names)
	}
}

func BenchmarkNewOverlay(b *testing.B) {
	folder := b.TempDir()
	for b.Loop() {
		f, err := NewOverlay(folder, 20<<30)
		if err != nil {
			b.Fatal(err)
		}
		_ = f.Close()
	}
}

func BenchmarkCreateOverlay(b *testing.B) {
	path := filepath.Join(b.TempDir(), "overlay.qcow2")
	for b.Loop() {
		if err := CreateOverlay(path, Overlay{20 << 30, "base.qcow2", QCOW2}); err != nil {
			b.Fatal(err)
		}
		_ = os.Remove(path)
	}
}
