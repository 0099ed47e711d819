package images

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// overlay writes an overlay whose backing file is of the given name, as it is.
func overlay(t testing.TB, path, backing string, format Format) string {
	t.Helper()
	if err := CreateOverlay(path, Overlay{VirtualSize: 1 << 20, BackingFile: backing, BackingFormat: format}); err != nil {
		t.Fatal(err)
	}
	return path
}

// hostile writes an overlay whose header names what CreateOverlay would not.
func hostile(t testing.TB, path, backing, format string) string {
	t.Helper()
	image, bad := newLayout(Overlay{VirtualSize: 1 << 20, BackingFile: strings.Repeat("x", len(backing)), BackingFormat: QCOW2})
	if bad != nil {
		t.Fatal(bad)
	}
	copy(image.header[len(image.header)-len(backing):], backing)
	at := strings.Index(string(image.header), string(QCOW2))
	if image.header[headerSizeV3+7] = byte(len(format)); format == "" {
		image.header[at-1] = 0
		clear(image.header[headerSizeV3 : headerSizeV3+16])
	}
	copy(image.header[at:at+8], append([]byte(format), make([]byte, 8)...))
	f, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = f.Close() }()
	if err := image.write(f); err != nil {
		t.Fatal(err)
	}
	return path
}

func plain(t testing.TB, path string) string {
	t.Helper()
	return overlay(t, path, "", "")
}

func TestChainOfThree(t *testing.T) {
	folder := t.TempDir()
	if err := os.Mkdir(filepath.Join(folder, "bases"), 0o700); err != nil {
		t.Fatal(err)
	}
	raw := writeFile(t, filepath.Join(folder, "bases", "disk.img"), patterned(1<<20))
	middle := overlay(t, filepath.Join(folder, "bases", "middle.qcow2"), "disk.img", Raw)
	top := overlay(t, filepath.Join(folder, "top.qcow2"), "bases/middle.qcow2", QCOW2)
	for _, readOnly := range []bool{false, true} {
		before := openFiles(t)
		c, err := Open(top, Options{ReadOnly: readOnly})
		if err != nil {
			t.Fatal(err)
		}
		wantLayers(t, c, top, middle, raw)
		for i, l := range c.Layers {
			wantReadOnly(t, &l, i > 0 || readOnly)
		}
		if c.Layers[2].Format != Raw || c.VirtualSize() != 1<<20 {
			t.Errorf("opened as %+v", c.Layers)
		}
		if err := c.Close(); err != nil {
			t.Error(err)
		}
		if after := openFiles(t); after != before {
			t.Errorf("%d descriptors are left", after-before)
		}
	}
}

func wantLayers(t *testing.T, c *Chain, paths ...string) {
	t.Helper()
	if len(c.Layers) != len(paths) {
		t.Fatalf("%d layers, not %d", len(c.Layers), len(paths))
	}
	for i, path := range paths {
		var stat unix.Stat_t
		if err := unix.Stat(path, &stat); err != nil {
			t.Fatal(err)
		}
		l := &c.Layers[i]
		if want := (ID{Device: stat.Dev, Inode: stat.Ino}); l.ID() != want || l.Path != path {
			t.Errorf("layer %d is %s, not %s", i, l.Path, path)
		}
	}
}

// wantReadOnly asks the kernel how the descriptor is open, and that no other
// program inherits it by chance.
func wantReadOnly(t *testing.T, l *Layer, want bool) {
	t.Helper()
	flags, err := unix.FcntlInt(l.File.Fd(), unix.F_GETFL, 0)
	if err != nil {
		t.Fatal(err)
	}
	mode := unix.O_RDWR
	if want {
		mode = unix.O_RDONLY
	}
	if flags&unix.O_ACCMODE != mode || l.ReadOnly != want {
		t.Errorf("%s: read-only: %v, flags %#x", l.Path, l.ReadOnly, flags)
	}
	inherit, err := unix.FcntlInt(l.File.Fd(), unix.F_GETFD, 0)
	if err != nil || inherit&unix.FD_CLOEXEC == 0 {
		t.Errorf("%s would be inherited: %v", l.Path, err)
	}
}

func TestChainsByQEMU(t *testing.T) {
	t.Chdir(t.TempDir())
	qemuImg(t, "create", "-q", "-f", "raw", "base.img", "4M")
	qemuImg(t, "create", "-q", "-f", "qcow2", "-b", "base.img", "-F", "raw", "middle.qcow2")
	qemuImg(t, "create", "-q", "-f", "qcow2", "-o", "compat=0.10", "-b", "middle.qcow2", "-F", "qcow2", "top.qcow2", "8M")
	c, err := Open("top.qcow2", Options{})
	if err != nil {
		t.Fatal(err)
	}
	wantLayers(t, c, "top.qcow2", "middle.qcow2", "base.img")
	if c.VirtualSize() != 8<<20 {
		t.Errorf("the disk has %d bytes", c.VirtualSize())
	}
	if err := c.Close(); err != nil {
		t.Error(err)
	}
}

// TestBackingFiles opens an image in folder/vm beside which lie good and bad
// files, with what its header says about them.
func TestBackingFiles(t *testing.T) {
	folder := t.TempDir()
	vm := filepath.Join(folder, "vm")
	if err := os.MkdirAll(filepath.Join(vm, "sub"), 0o700); err != nil {
		t.Fatal(err)
	}
	in := func(name string) string { return filepath.Join(vm, name) }
	plain(t, in("base.qcow2"))
	plain(t, in("sub/base.qcow2"))
	plain(t, in("a:b.qcow2"))
	plain(t, filepath.Join(folder, "outside.qcow2"))
	writeFile(t, in("base.raw"), make([]byte, 1<<20))
	writeFile(t, in("odd.raw"), make([]byte, 1000))
	writeFile(t, in("empty.raw"), nil)
	writeFile(t, in("cut.qcow2"), overlayBytes(t, Overlay{VirtualSize: 1 << 20})[:k64])
	must(t, os.Symlink("../outside.qcow2", in("link-out.qcow2")))
	must(t, os.Symlink("sub/base.qcow2", in("link-in.qcow2")))
	must(t, unix.Mkfifo(in("pipe"), 0o600))

	const anywhere = true
	tests := []struct {
		name, format string
		kind         error // of the cause; nil where it works
		anywhere     bool
	}{
		{"base.qcow2", "qcow2", nil, false},
		{"base.qcow2", "", nil, false},
		{in("base.qcow2"), "qcow2", nil, false},
		{"../vm/base.qcow2", "qcow2", nil, false},
		{"sub/base.qcow2", "qcow2", nil, false},
		{"link-in.qcow2", "qcow2", nil, false},
		{"./a:b.qcow2", "qcow2", nil, false},
		{"base.raw", "raw", nil, false},
		{"../outside.qcow2", "qcow2", nil, anywhere},
		{"link-out.qcow2", "qcow2", nil, anywhere},

		{"../outside.qcow2", "qcow2", ErrBacking, false},
		{filepath.Join(folder, "outside.qcow2"), "qcow2", ErrBacking, false},
		{"link-out.qcow2", "qcow2", ErrBacking, false},
		{"/etc/passwd", "raw", ErrBacking, false},
		{"base.raw", "", ErrFormat, false},
		{"base.raw", "qcow2", ErrFormat, false},
		{"base.qcow2", "raw", ErrFormat, false},
		{"base.qcow2", "vmdk", ErrUnsupported, false},
		{"base.qcow2", "file", ErrUnsupported, false},
		{"gone.qcow2", "qcow2", ErrNotExist, false},
		{"cut.qcow2", "qcow2", ErrTruncated, false},
		{"odd.raw", "raw", ErrTruncated, false},
		{"empty.raw", "raw", ErrEmpty, false},
		{"sub", "raw", ErrNotRegular, false},
		{"pipe", "raw", ErrNotRegular, anywhere},
		{"/dev/zero", "raw", ErrNotRegular, anywhere},
		{"top.qcow2", "qcow2", ErrBacking, false},
		{"../vm/top.qcow2", "qcow2", ErrBacking, anywhere},

		{"json:{\"driver\":\"nbd\"}", "raw", ErrBacking, anywhere},
		{"nbd:127.0.0.1:1", "raw", ErrBacking, anywhere},
		{"nbd://127.0.0.1/x", "raw", ErrBacking, anywhere},
		{"file:base.qcow2", "qcow2", ErrBacking, anywhere},
		{"fat:rw:/etc", "raw", ErrBacking, anywhere},
		{"a:b.qcow2", "qcow2", ErrBacking, anywhere},
		{"base.qcow2\x00.raw", "qcow2", ErrBacking, anywhere},
	}
	for _, test := range tests {
		t.Run(fmt.Sprintf("%s as %s", test.name, test.format), func(t *testing.T) {
			top := in("top.qcow2")
			must(t, errors.Join(os.RemoveAll(top)))
			hostile(t, top, test.name, test.format)
			before := openFiles(t)
			c, err := Open(top, Options{AllowBacking: test.anywhere})
			wantKind(t, err, test.kind)
			if err == nil {
				if len(c.Layers) != 2 {
					t.Errorf("%d layers", len(c.Layers))
				}
				must(t, c.Close())
			} else if !errors.Is(err, ErrBacking) || !strings.HasPrefix(err.Error(), "image "+quote(top)+": ") {
				t.Errorf("%q is not said to be about the backing file of %s", err, top)
			}
			if after := openFiles(t); after != before {
				t.Errorf("%d descriptors are left", after-before)
			}
		})
	}
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func TestLoops(t *testing.T) {
	folder := t.TempDir()
	overlay(t, filepath.Join(folder, "a"), "b", QCOW2)
	overlay(t, filepath.Join(folder, "b"), "c", QCOW2)
	overlay(t, filepath.Join(folder, "c"), "./a", QCOW2)
	_, err := Open(filepath.Join(folder, "a"), Options{AllowBacking: true})
	wantKind(t, err, ErrBacking)
	if err != nil && !strings.Contains(err.Error(), "loop") {
		t.Errorf("%q does not speak of the loop", err)
	}
}

func TestDepth(t *testing.T) {
	folder := t.TempDir()
	path := plain(t, filepath.Join(folder, "0"))
	for i := 1; i < maxDepth; i++ {
		path = overlay(t, filepath.Join(folder, fmt.Sprint(i)), fmt.Sprint(i-1), QCOW2)
	}
	c, err := Open(path, Options{})
	if err != nil {
		t.Fatal(err)
	}
	must(t, c.Close())

	path = overlay(t, filepath.Join(folder, "more"), filepath.Base(path), QCOW2)
	before := openFiles(t)
	_, err = Open(path, Options{})
	wantKind(t, err, ErrBacking)
	if after := openFiles(t); after != before {
		t.Errorf("%d descriptors are left", after-before)
	}
}

// TestSymbolicLinkToImage: the base is looked for where QEMU looks for it,
// beside the link, and not silently taken from elsewhere.
func TestSymbolicLinkToImage(t *testing.T) {
	folder := t.TempDir()
	in := func(name string) string { return filepath.Join(folder, name) }
	must(t, os.Mkdir(in("store"), 0o700))
	must(t, os.Mkdir(in("vm"), 0o700))
	plain(t, in("store/base.qcow2"))
	overlay(t, in("store/top.qcow2"), "base.qcow2", QCOW2)
	must(t, os.Symlink("../store/top.qcow2", in("vm/top.qcow2")))

	_, err := Open(in("vm/top.qcow2"), Options{})
	wantKind(t, err, ErrNotExist)
	plain(t, in("vm/base.qcow2"))
	_, err = Open(in("vm/top.qcow2"), Options{})
	wantKind(t, err, ErrBacking)
	c, err := Open(in("vm/top.qcow2"), Options{AllowBacking: true})
	must(t, err)
	wantLayers(t, c, in("vm/top.qcow2"), in("vm/base.qcow2"))
	must(t, c.Close())
}

func TestCover(t *testing.T) {
	folder := t.TempDir()
	path := plain(t, filepath.Join(folder, "disk.qcow2"))
	c, err := Open(path, Options{})
	must(t, err)
	wantKind(t, c.Cover(folder, 0), ErrBacking)
	must(t, c.Close())

	c, err = Open(path, Options{ReadOnly: true})
	must(t, err)
	image := c.ID()
	wantKind(t, c.Cover(folder, -512), ErrSize)
	must(t, c.Cover(folder, 0))
	if c.VirtualSize() != 1<<20 || len(c.Layers) != 2 || c.Layers[1].ID() != image || c.ID() == image {
		t.Errorf("covered as %+v", c.Layers)
	}
	wantReadOnly(t, c.Top(), false)
	must(t, c.Close())
	wantFiles(t, folder, "disk.qcow2")
}

func TestWithin(t *testing.T) {
	for _, test := range []struct {
		inner, outer string
		want         bool
	}{
		{"/a/b", "/a/b", true},
		{"/a/b/c/d", "/a/b", true},
		{"/a/bc", "/a/b", false},
		{"/a", "/a/b", false},
		{"/", "/", true},
		{"/etc", "/", false},
	} {
		if got := within(test.inner, test.outer); got != test.want {
			t.Errorf("%s within %s: %v", test.inner, test.outer, got)
		}
	}
}
