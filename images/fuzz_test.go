package images

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"testing"
)

// FuzzExamine feeds the whole examination with files, beginning with those in
// testdata, which qemu-img made. An image that is accepted must satisfy the
// slow and trusting reader that the truncation tests use, too.
func FuzzExamine(f *testing.F) {
	paths, err := filepath.Glob("testdata/*.qcow2")
	if err != nil || len(paths) == 0 {
		f.Fatalf("no seeds: %v", err)
	}
	for _, path := range paths {
		content, err := os.ReadFile(path)
		if err != nil {
			f.Fatal(err)
		}
		f.Add("disk.qcow2", "", content)
		f.Add("disk.raw", "raw", content)
		f.Add("disk.img", "qcow2", content[:len(content)*2/3])
	}
	f.Add("disk.raw", "", make([]byte, 1024))
	f.Add("page", "", []byte("<html>"))
	f.Fuzz(func(t *testing.T, name, asked string, content []byte) {
		info, err := examineBytes(name, content, Format(asked))
		if err != nil {
			var e *Error
			if !errors.As(err, &e) || e.Kind == nil || e.Detail == "" || e.Path != name || e.Error() == "" {
				t.Fatalf("an error without its parts: %#v", err)
			}
			return
		}
		if info.VirtualSize <= 0 || info.VirtualSize%sectorSize != 0 || info.FileSize != int64(len(content)) {
			t.Fatalf("accepted as %+v", info)
		}
		if info.Format != QCOW2 {
			return
		}
		if info.ClusterSize < 512 || info.ClusterSize > 2<<20 || len(info.BackingFile) > maxBackingName {
			t.Fatalf("accepted as %+v", info)
		}
		beyond := func(s span) bool { return s.at < 0 || s.at+s.needed > len(content) }
		if !info.Partial && slices.ContainsFunc(spans(content), beyond) {
			t.Fatalf("accepted with something beyond the end: %+v", info)
		}
	})
}

// FuzzBackingName: whatever the path of a backing file, an overlay either
// refuses it or names a plain path that leads to the same file.
func FuzzBackingName(f *testing.F) {
	for _, name := range []string{"base.qcow2", "/var/lib/base", "a:b", "./a:b", "json:{}", "nbd://x/y", "a\x00b", "../x", ":"} {
		f.Add(name)
	}
	f.Fuzz(func(t *testing.T, name string) {
		if name == "" {
			return
		}
		image, bad := newLayout(Overlay{VirtualSize: 512, BackingFile: name, BackingFormat: Raw})
		if bad != nil {
			return
		}
		h, bad := parseHeader(image.header, (3+image.l1Clusters)<<overlayClusterBits)
		if bad != nil {
			t.Fatalf("%q is written and not read: %v", name, bad)
		}
		if notPlain(h.backingFile) != "" || filepath.Clean(h.backingFile) != filepath.Clean(name) || h.backingFormat != "raw" {
			t.Fatalf("%q is written as %q", name, h.backingFile)
		}
	})
}
