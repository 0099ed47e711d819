package store

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"kvmrun/images"
)

func TestRemoveAsksWhoNeedsIt(t *testing.T) {
	t.Parallel()
	s := newStore(t)
	var uses []Use
	var failed error
	s.options.Uses = func() ([]Use, error) { return uses, failed }
	i := mustImport(t, s, rawDisk(t, 20, 1<<20), "web")
	uses = []Use{{i.Digest, "VM one"}, {i.Digest, "VM two"}, {i.Digest, "VM one"}}
	wantKind(t, s.Remove(t.Context(), "web"), images.ErrInUse, "VM one, VM two needs it")
	if got, err := s.Get("web"); err != nil || strings.Join(got.UsedBy, "+") != "VM one+VM two" {
		t.Errorf("%+v, %v", got, err)
	}
	// Another name keeps the blob, so one of them may go.
	mustImport(t, s, i.Source.From, "copy")
	if err := s.Remove(t.Context(), "web"); err != nil {
		t.Error(err)
	}
	wantKind(t, s.Remove(t.Context(), "copy"), images.ErrInUse, "VM one")
	uses, failed = nil, errors.New("it rains")
	if err := s.Remove(t.Context(), "copy"); !errors.Is(err, failed) {
		t.Errorf("removed without knowing: %v", err)
	}
	failed = nil
	sound(t, s)
	if err := s.Remove(t.Context(), "copy"); err != nil {
		t.Error(err)
	}
	if blobs, err := s.listBlobs(); err != nil || len(blobs) != 0 {
		t.Errorf("left: %v, %v", blobs, err)
	}
	wantKind(t, s.Remove(t.Context(), "copy"), ErrNoImage, "image copy:")
	wantKind(t, newStore(t).Remove(t.Context(), "copy"), ErrNoImage)
}

// lockAsQEMU takes a lock on a file as a QEMU does that reads it.
func lockAsQEMU(t *testing.T, path string) *os.File {
	t.Helper()
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	for _, at := range []int64{100, 201, 203} {
		lock := unix.Flock_t{Type: unix.F_RDLCK, Start: at, Len: 1}
		if err := unix.FcntlFlock(f.Fd(), unix.F_OFD_SETLK, &lock); err != nil {
			t.Fatal(err)
		}
	}
	return f
}

// TestUsersThatNobodyKnows: a QEMU that no Uses lists keeps a blob by its lock.
func TestUsersThatNobodyKnows(t *testing.T) {
	t.Parallel()
	s := newStore(t)
	i := mustImport(t, s, rawDisk(t, 21, 1<<20), "web")
	f := lockAsQEMU(t, i.Path)
	wantKind(t, s.Remove(t.Context(), "web"), images.ErrInUse, "QEMU")
	if err := s.forget("web"); err != nil {
		t.Fatal(err)
	}
	if found, err := s.Prune(t.Context(), false); err != nil || len(found) != 0 {
		t.Errorf("pruned %+v, %v", found, err)
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	eventually(t, func() error { // a program that another test starts has the lock for a moment
		if found, err := s.Prune(t.Context(), false); err != nil || len(found) != 1 {
			return fmt.Errorf("pruned %+v, %w", found, err)
		}
		return nil
	})
}

// TestPrune is not parallel: a program that another test starts has, for a moment,
// the lock of a folder along with it.
func TestPrune(t *testing.T) {
	s := newStore(t)
	if found, err := s.Prune(t.Context(), false); err != nil || len(found) != 0 {
		t.Errorf("of no store: %+v, %v", found, err)
	}
	kept := mustImport(t, s, rawDisk(t, 22, 1<<20), "kept")
	nameless := mustImport(t, s, rawDisk(t, 23, 1<<20), "nameless")
	used := mustImport(t, s, rawDisk(t, 24, 1<<20), "used")
	s.options.Uses = func() ([]Use, error) { return []Use{{used.Digest, "VM x"}}, nil }
	for _, name := range []string{"nameless", "used"} {
		if err := s.forget(name); err != nil {
			t.Fatal(err)
		}
	}
	left, err := s.newWork()
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(left.file("source0"), make([]byte, 4096), 0o600); err != nil {
		t.Fatal(err)
	}
	// What others have put there stays.
	for _, name := range []string{"blobs/notes", "partial/notes", "names/notes", "names/.x.json"} {
		if err := os.WriteFile(filepath.Join(s.dir, name), nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if found, err := s.Prune(t.Context(), true); err != nil || len(found) != 1 || found[0].Path != nameless.Path || found[0].Removed {
		t.Errorf("would prune %+v, %v", found, err)
	}
	if err := left.dir.Close(); err != nil { // as if it had been killed
		t.Fatal(err)
	}
	for _, dryRun := range []bool{true, true, false} {
		found, err := s.Prune(t.Context(), dryRun)
		if err != nil || len(found) != 2 || found[0].Path != left.path || found[0].Size != 4096 || found[1].Digest != nameless.Digest {
			t.Fatalf("pruned %+v, %v", found, err)
		}
		for _, l := range found {
			if l.Removed == dryRun || l.Size == 0 {
				t.Errorf("pruned %+v", l)
			}
		}
	}
	if found, err := s.Prune(t.Context(), false); err != nil || len(found) != 0 {
		t.Errorf("pruned again %+v, %v", found, err)
	}
	want := []string{
		"blobs/" + filepath.Base(kept.Path), "blobs/notes", "blobs/" + filepath.Base(used.Path),
		"lock", "names/.x.json", "names/kept.json", "names/notes", "partial/notes",
	}
	if used.Path < kept.Path {
		want[0], want[2] = want[2], want[0]
	}
	got := files(t, s)
	if len(got) != len(want) {
		t.Errorf("left are %q, want %q", got, want)
	}
}

// TestDamagedRecords: what cannot be read is told, keeps every blob, and can be
// removed.
func TestDamagedRecords(t *testing.T) {
	t.Parallel()
	s := newStore(t)
	raw := rawDisk(t, 25, 1<<20)
	i := mustImport(t, s, raw, "web")
	mustImport(t, s, rawDisk(t, 26, 1<<20), "good")
	good, err := os.ReadFile(s.recordPath("web"))
	if err != nil {
		t.Fatal(err)
	}
	for name, text := range map[string]string{
		"empty": "", "no JSON": "{", "another's": strings.Replace(string(good), `"web"`, `"good"`, 1),
		"a digest that is a path": strings.Replace(string(good), string(i.Digest), "sha256:../../../etc/passwd", 1),
		"large":                   strings.Repeat(" ", maxRecord) + string(good),
	} {
		if err := os.WriteFile(s.recordPath("web"), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		_, err := s.Get("web")
		wantKind(t, err, ErrRecord, "names/web.json", "kvmrun image rm")
		list, err := s.List()
		if len(list) != 1 || list[0].Name != "good" || !errors.Is(err, ErrRecord) {
			t.Errorf("%s: listed %+v, %v", name, list, err)
		}
		if found, err := s.Prune(t.Context(), false); len(found) != 0 || !errors.Is(err, ErrRecord) {
			t.Errorf("%s: pruned %+v, %v", name, found, err)
		}
		_, _, err = s.Import(t.Context(), Request{Path: raw, Name: "web"})
		wantKind(t, err, ErrRecord)
	}
	if _, _, err := s.Import(t.Context(), Request{Path: raw, Name: "web", Replace: true}); err != nil {
		t.Error(err)
	}
	newer := strings.Replace(string(good), `"version": 1`, `"version": 2`, 1)
	if err := os.WriteFile(s.recordPath("web"), []byte(newer), 0o600); err != nil {
		t.Fatal(err)
	}
	_, err = s.Get("web")
	wantKind(t, err, ErrRecord, "newer kvmrun")
	wantKind(t, s.Remove(t.Context(), "web"), ErrRecord, "newer kvmrun")
	if err := os.WriteFile(s.recordPath("web"), []byte("x"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := s.Remove(t.Context(), "web"); err != nil {
		t.Error(err)
	}
	if found, err := s.Prune(t.Context(), false); err != nil || len(found) != 1 || found[0].Digest != i.Digest {
		t.Errorf("pruned %+v, %v", found, err)
	}
}

func TestVerify(t *testing.T) {
	t.Parallel()
	s := newStore(t)
	i := mustImport(t, s, rawDisk(t, 27, 2<<20), "web")
	mustImport(t, s, i.Source.From, "same")
	other := mustImport(t, s, rawDisk(t, 28, 2<<20), "other")
	gone := mustImport(t, s, rawDisk(t, 29, 1<<20), "gone")
	told := 0
	all, err := s.Verify(t.Context(), nil, func(string, int64, int64) { told++ })
	if err != nil || len(all) != 4 || told == 0 {
		t.Fatalf("%+v, %v, told %d times", all, err, told)
	}
	for _, v := range all {
		if !v.OK || v.Problem != "" {
			t.Errorf("%+v", v)
		}
	}
	f, err := os.OpenFile(i.Path, os.O_WRONLY, 0)
	if err != nil {
		t.Skipf("only root may write what is read-only: %v", err)
	}
	if _, err := f.WriteAt([]byte("rot"), 327_000); err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(f.Close(), os.Remove(gone.Path)); err != nil {
		t.Fatal(err)
	}
	all, err = s.Verify(t.Context(), nil, nil)
	if err != nil || len(all) != 4 {
		t.Fatalf("%+v, %v", all, err)
	}
	for n, says := range []string{"gone from the store", "", "is not what was imported", "is not what was imported"} {
		if v := all[n]; v.OK != (says == "") || !strings.Contains(v.Problem, says) || !v.OK && !strings.HasPrefix(v.Problem, "image "+v.Name+": ") {
			t.Errorf("%+v, want %q", v, says)
		}
	}
	if some, err := s.Verify(t.Context(), []string{"other"}, nil); err != nil || len(some) != 1 || !some[0].OK || some[0].Digest != other.Digest {
		t.Errorf("%+v, %v", some, err)
	}
	_, err = s.Verify(t.Context(), []string{"nothing"}, nil)
	wantKind(t, err, ErrNoImage)
}

// TestVerifyLooksInside: an image whose tables contradict each other comes in, as
// it is, and verify finds it.
func TestVerifyLooksInside(t *testing.T) {
	t.Parallel()
	s := newStore(t)
	from := converted(t, rawDisk(t, 30, 2<<20), "qcow2")
	f, err := os.OpenFile(from, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	count := []byte{0, 0} // the first cluster's reference count: nobody uses the header
	if _, err := f.WriteAt(count, 2<<16); err != nil {
		t.Fatal(err)
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	mustImport(t, s, from, "web")
	all, err := s.Verify(t.Context(), nil, nil)
	if err != nil || len(all) != 1 || all[0].OK || !strings.Contains(all[0].Problem, "qemu-img check") {
		t.Errorf("%+v, %v", all, err)
	}
}

func TestHold(t *testing.T) {
	t.Parallel()
	s := newStore(t)
	i := mustImport(t, s, rawDisk(t, 31, 1<<20), "web")
	called := 0
	err := s.Hold(t.Context(), "web", func(held Image) error {
		called++
		if held.Path != i.Path {
			t.Errorf("held %+v", held)
		}
		f, err := os.Open(filepath.Join(s.dir, "lock"))
		if err != nil {
			return err
		}
		defer func() { _ = f.Close() }()
		if locked, err := tryLock(f); err != nil || !locked {
			t.Errorf("somebody else could have the lock: %v", err)
		}
		return nil
	})
	if err != nil || called != 1 {
		t.Errorf("called %d times, %v", called, err)
	}
	wantKind(t, s.Hold(t.Context(), "other", nil), ErrNoImage)
}

func TestDigestOf(t *testing.T) {
	t.Parallel()
	s := newStore(t)
	i := mustImport(t, s, rawDisk(t, 32, 1<<20), "web")
	link := filepath.Join(folder(t), "link")
	stranger := filepath.Join(filepath.Dir(link), filepath.Base(i.Path))
	if err := errors.Join(os.Symlink(i.Path, link), os.WriteFile(stranger, nil, 0o600)); err != nil {
		t.Fatal(err)
	}
	for path, want := range map[string]bool{i.Path: true, link: true, stranger: false, s.dir: false, "/etc/passwd": false, "/nothing": false} {
		if d, ok := s.DigestOf(path); ok != want || ok && d != i.Digest {
			t.Errorf("%s: %q, %v", path, d, ok)
		}
	}
}
