package store

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"os"
	"path/filepath"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"kvmrun/images"
)

// sparse makes a file of these pieces of a MiB, of which some are holes.
func sparse(t *testing.T, dir string, pieces string, extra int64) *os.File {
	t.Helper()
	f, err := os.Create(filepath.Join(dir, "from"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = f.Close() })
	for n, piece := range pieces {
		if piece == '.' {
			continue
		}
		data := make([]byte, 1<<20)
		for i := range data {
			data[i] = byte(piece)
		}
		if _, err := f.WriteAt(data, int64(n)<<20); err != nil {
			t.Fatal(err)
		}
	}
	if err := f.Truncate(int64(len(pieces))<<20 + extra); err != nil {
		t.Fatal(err)
	}
	return f
}

// TestCopyKeepsHoles: the copy is the same, takes no more of the disk, and has the
// digest that sha256sum finds.
func TestCopyKeepsHoles(t *testing.T) {
	t.Parallel()
	for _, where := range []string{t.TempDir(), "/dev/shm"} {
		for _, pieces := range []string{"", "a", ".", "a.", ".a", "a..b", "...a...b..."} {
			for _, extra := range []int64{0, 1, 4097} {
				dir, err := os.MkdirTemp(where, "copy")
				if err != nil {
					t.Fatal(err)
				}
				t.Cleanup(func() { _ = os.RemoveAll(dir) })
				from := sparse(t, dir, pieces, extra)
				to, err := os.Create(filepath.Join(dir, "to"))
				if err != nil {
					t.Fatal(err)
				}
				size := int64(len(pieces))<<20 + extra
				last := int64(-1)
				got, err := copyFile(t.Context(), to, from, size, len(pieces)%2 == 0, func(done, total int64) {
					if done <= last || done > total || total != size {
						t.Errorf("%q: %d of %d, after %d", pieces, done, total, last)
					}
					last = done
				})
				if err != nil {
					t.Fatal(err)
				}
				text, err := os.ReadFile(to.Name())
				if err != nil {
					t.Fatal(err)
				}
				original, err := os.ReadFile(from.Name())
				if err != nil {
					t.Fatal(err)
				}
				sum := sha256.Sum256(original)
				if string(text) != string(original) || got.hex() != hex.EncodeToString(sum[:]) || size > 0 && last != size {
					t.Errorf("%q and %d bytes: %d bytes were copied, %s", pieces, extra, len(text), got)
				}
				if a, b := taken(t, to), taken(t, from); a > b {
					t.Errorf("%q and %d bytes: %d bytes take %d", pieces, extra, b, a)
				}
				_ = to.Close()
			}
		}
	}
}

func taken(t *testing.T, f *os.File) int64 {
	t.Helper()
	info, err := f.Stat()
	if err != nil {
		t.Fatal(err)
	}
	return allocated(info)
}

// TestSourceThatChanges: what is written to while it is read is no image.
func TestSourceThatChanges(t *testing.T) {
	t.Parallel()
	for name, change := range map[string]func(f *os.File) error{
		"shorter": func(f *os.File) error { return f.Truncate(1 << 20) },
		"longer":  func(f *os.File) error { return f.Truncate(1 << 30) },
		"written": func(f *os.File) error {
			_, err := f.WriteAt([]byte("x"), 0)
			return err
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newStore(t)
			path := rawDisk(t, 50, 8<<20)
			f, err := os.OpenFile(path, os.O_RDWR, 0)
			if err != nil {
				t.Fatal(err)
			}
			defer func() { _ = f.Close() }()
			changed := false
			_, _, err = s.Import(t.Context(), Request{Path: path, Name: "web", Progress: func(Stage, int64, int64) {
				if !changed {
					changed = true
					if err := change(f); err != nil {
						t.Error(err)
					}
				}
			}})
			wantKind(t, err, ErrChanged, path)
			empty(t, s)
		})
	}
}

// TestSourceThatQEMUWritesTo is refused as long as it does.
func TestSourceThatQEMUWritesTo(t *testing.T) {
	t.Parallel()
	s := newStore(t)
	path := rawDisk(t, 51, 1<<20)
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	for _, at := range []int64{100, 101, 201} { // reads, writes, lets nobody else write
		lock := unix.Flock_t{Type: unix.F_RDLCK, Start: at, Len: 1}
		if err := unix.FcntlFlock(f.Fd(), unix.F_OFD_SETLK, &lock); err != nil {
			t.Fatal(err)
		}
	}
	_, _, err = s.Import(t.Context(), Request{Path: path, Name: "web"})
	wantKind(t, err, images.ErrInUse, path)
	if err := errors.Join(f.Close()); err != nil {
		t.Fatal(err)
	}
	mustImport(t, s, path, "web")
}

// TestHugeHoles: a disk of a tebibyte with nothing on it takes no time, for its own
// digest is forgone, unless it is asked for.
func TestHugeHoles(t *testing.T) {
	t.Parallel()
	s := newStore(t)
	path := rawDisk(t, 52, 1<<20)
	if err := os.Truncate(path, 1<<40); err != nil {
		t.Skipf("no such large files here: %v", err)
	}
	i := mustImport(t, s, path, "web")
	if i.VirtualSize != 1<<40 || i.Source.Digest != "" || i.Size > 8<<20 {
		t.Errorf("described as %+v", i)
	}
	if _, already, err := s.Import(t.Context(), Request{Path: path, Name: "web"}); err != nil || !already {
		t.Errorf("imported again: already %v, %v", already, err)
	}
	// A qcow2 file with such holes is rewritten.
	qcow2 := filepath.Join(filepath.Dir(path), "large.qcow2")
	qemuImgRun(t, "create", "-q", "-f", "qcow2", "-o", "preallocation=metadata,cluster_size=2M", qcow2, "70G")
	j := mustImport(t, s, qcow2, "large")
	if j.Source.Digest != "" || j.Size > 8<<20 || j.VirtualSize != 70<<30 {
		t.Errorf("described as %+v", j)
	}
	sound(t, s)
	ctx, cancel := context.WithTimeout(t.Context(), time.Second)
	defer cancel()
	_, _, err := s.Import(ctx, Request{Path: path, Name: "other", Digest: i.Digest, Format: images.Raw})
	if !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("a digest of a tebibyte was found in no time: %v", err)
	}
}
