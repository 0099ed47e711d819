package images

import (
	"path/filepath"
	"strings"
	"testing"
)

// TestLocksAsQEMU holds an image by a real QEMU in each way, and compares what
// is said of it with how a second QEMU fares.
func TestLocksAsQEMU(t *testing.T) {
	qemuSystem(t) // or there is nothing to compare with
	folder := t.TempDir()
	raw := writeFile(t, filepath.Join(folder, "disk.raw"), make([]byte, 1<<20))
	qcow2 := plain(t, filepath.Join(folder, "disk.qcow2"))
	onRaw := overlay(t, filepath.Join(folder, "on-raw.qcow2"), "disk.raw", Raw)
	onQCOW2 := overlay(t, filepath.Join(folder, "on-qcow2.qcow2"), "disk.qcow2", QCOW2)
	for _, test := range []struct {
		name    string
		holder  string // opened by the QEMU that was first
		rdOnly  bool
		contest string // asked for then
		reader  bool   // whether a reader may have it as well
		advice  string // for a writer
	}{
		{"a writer of qcow2", qcow2, false, qcow2, false, "start both with --ephemeral"},
		{"a writer of raw", raw, false, raw, false, "start both with --ephemeral"},
		{"a reader of qcow2", qcow2, true, qcow2, true, "with --ephemeral as well"},
		{"a reader of raw", raw, true, raw, true, "with --ephemeral as well"},
		{"an overlay on qcow2", onQCOW2, false, qcow2, true, "with --ephemeral as well"},
		{"an overlay on raw", onRaw, false, raw, true, "with --ephemeral as well"},
	} {
		t.Run(test.name, func(t *testing.T) {
			wantUnused(t, test.contest, false, "")
			wantUnused(t, test.contest, true, "")
			c, err := Open(test.holder, Options{ReadOnly: test.rdOnly})
			must(t, err)
			defer func() { _ = c.Close() }()
			first := startQEMU(t, c.Layers)
			if !first.ready() {
				t.Fatalf("QEMU did not start: %s", first.stop(t))
			}
			if test.reader {
				wantUnused(t, test.contest, true, "")
			} else {
				wantUnused(t, test.contest, true, "give this one a copy")
			}
			wantUnused(t, test.contest, false, test.advice)
			if got := secondStarts(t, test.contest, true); got != test.reader {
				t.Errorf("a second QEMU may read: %v", got)
			}
			if secondStarts(t, test.contest, false) {
				t.Error("a second QEMU may write")
			}

			// The locks belong to the open files, which are ours as well.
			first.stop(t)
			must(t, c.Close())
			wantUnused(t, test.contest, false, "")
		})
	}
}

// wantUnused wants the image to be free, or, with an advice, in use and the
// advice to be given.
func wantUnused(t *testing.T, path string, readOnly bool, advice string) {
	t.Helper()
	c, err := Open(path, Options{ReadOnly: readOnly})
	must(t, err)
	defer func() { _ = c.Close() }()
	err = c.CheckUnused()
	if advice == "" {
		wantKind(t, err, nil)
		return
	}
	wantKind(t, err, ErrInUse)
	if err != nil && !strings.Contains(err.Error(), advice) {
		t.Errorf("%q does not advise: %s", err, advice)
	}
}

// secondStarts says whether a QEMU gets its locks.
func secondStarts(t *testing.T, path string, readOnly bool) bool {
	t.Helper()
	c, err := Open(path, Options{ReadOnly: readOnly})
	must(t, err)
	defer func() { _ = c.Close() }()
	q := startQEMU(t, c.Layers)
	defer q.stop(t)
	return q.ready()
}
