package store

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"kvmrun/images"
)

// TestFormats imports a disk of each format: the blob is a sound qcow2 image without
// a backing file, and a guest sees the same disk.
func TestFormats(t *testing.T) {
	t.Parallel()
	raw := rawDisk(t, 1, 8<<20)
	for name, args := range map[string][]string{
		"raw": nil, "qcow2": {"qcow2"}, "qcow2 of version 2": {"qcow2", "-o", "compat=0.10"}, "compressed qcow2": {"qcow2", "-c"},
		"vdi": {"vdi"}, "vhdx": {"vhdx"}, "vmdk": {"vmdk"}, "packed vmdk": {"vmdk", "-o", "subformat=streamOptimized"},
		"vhd": {"vpc", "-o", "force_size=on"}, "fixed vhd": {"vpc", "-o", "force_size=on,subformat=fixed"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s, from := newStore(t), raw
			if args != nil {
				from = converted(t, raw, args...)
			}
			i := mustImport(t, s, from, "web")
			qemuImgRun(t, "compare", "-f", "raw", "-F", "qcow2", raw, i.Path)
			qemuImgRun(t, "check", "-f", "qcow2", i.Path)
			if i.VirtualSize != 8<<20 || i.Digest != sum(t, i.Path) || i.Source.Digest != sum(t, from) || i.Source.From != from {
				t.Errorf("described as %+v", i)
			}
			if i.Size > 1<<20 {
				t.Errorf("a disk with %d bytes of data takes %d", 4*64<<10, i.Size)
			}
			if same := i.Digest == i.Source.Digest; same != strings.Contains(name, "qcow2") {
				t.Errorf("taken byte for byte: %v", same)
			}
			info, err := images.Inspect(i.Path, images.QCOW2)
			if err != nil || info.BackingFile != "" {
				t.Errorf("stored as %+v, %v", info, err)
			}
			empty(t, s)
			sound(t, s)
		})
	}
}

// TestWhatIsNotTakenByteForByte: snapshots, a backing file and the dirty bit do not
// get into the store.
func TestWhatIsNotTakenByteForByte(t *testing.T) {
	t.Parallel()
	raw := rawDisk(t, 2, 4<<20)
	snapshot := converted(t, raw, "qcow2")
	qemuImgRun(t, "snapshot", "-c", "before", snapshot)
	base := converted(t, raw, "qcow2")
	overlay := filepath.Join(filepath.Dir(base), "overlay")
	qemuImgRun(t, "create", "-q", "-f", "qcow2", "-b", base, "-F", "qcow2", overlay, "6M")
	dirty := converted(t, raw, "qcow2", "-o", "lazy_refcounts=on")
	f, err := os.OpenFile(dirty, os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := f.WriteAt([]byte{1}, 79); err != nil { // the last byte of the incompatible features
		t.Fatal(err)
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	for name, from := range map[string]string{"snapshot": snapshot, "overlay": overlay, "dirty": dirty} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newStore(t)
			i := mustImport(t, s, from, "web")
			if i.Digest == i.Source.Digest {
				t.Error("taken byte for byte")
			}
			info, err := images.Inspect(i.Path, images.QCOW2)
			if err != nil || info.BackingFile != "" || info.Snapshots != 0 || info.Dirty {
				t.Errorf("stored as %+v, %v", info, err)
			}
			if name == "overlay" {
				if i.VirtualSize != 6<<20 || i.Source.Digest != "" {
					t.Errorf("described as %+v", i)
				}
				return
			}
			qemuImgRun(t, "compare", "-f", "raw", "-F", "qcow2", raw, i.Path)
		})
	}
}

// TestBackingFilesAreAsOfAStart: the same rules, and the same way to have one's way.
func TestBackingFilesAreAsOfAStart(t *testing.T) {
	t.Parallel()
	base := converted(t, rawDisk(t, 3, 4<<20), "qcow2")
	overlay := filepath.Join(folder(t), "overlay.qcow2")
	qemuImgRun(t, "create", "-q", "-f", "qcow2", "-b", base, "-F", "qcow2", overlay)
	s := newStore(t)
	_, _, err := s.Import(t.Context(), Request{Path: overlay, Name: "web"})
	wantKind(t, err, images.ErrBacking, overlay, "--allow-backing")
	i, _, err := s.Import(t.Context(), Request{Path: overlay, Name: "web", AllowBacking: true})
	if err != nil {
		t.Fatal(err)
	}
	qemuImgRun(t, "compare", "-f", "qcow2", "-F", "qcow2", base, i.Path)
	_, _, err = s.Import(t.Context(), Request{Path: overlay, From: "https://example.org/x", Name: "other", AllowBacking: true})
	wantKind(t, err, images.ErrBacking)
	empty(t, s)
}

func TestNamesAndContents(t *testing.T) {
	t.Parallel()
	s := newStore(t)
	one, two := rawDisk(t, 4, 2<<20), rawDisk(t, 5, 2<<20)
	first := mustImport(t, s, one, "web")
	again, already, err := s.Import(t.Context(), Request{Path: one, Name: "web"})
	if err != nil || !already || again.Digest != first.Digest || !again.Imported.Equal(first.Imported) {
		t.Errorf("imported again: %+v, already %v, %v", again, already, err)
	}
	_, _, err = s.Import(t.Context(), Request{Path: two, Name: "web"})
	wantKind(t, err, ErrExists, "image web:", "--replace", one)
	if other := mustImport(t, s, one, "other"); other.Path != first.Path {
		t.Error("the same content has two blobs")
	}
	other, already, err := s.Import(t.Context(), Request{Path: two, Name: "web", Replace: true})
	if err != nil || already || other.Digest == first.Digest {
		t.Errorf("replaced: %+v, already %v, %v", other, already, err)
	}
	if err := s.Remove(t.Context(), "other"); err != nil {
		t.Error(err)
	}
	blobs, err := s.listBlobs()
	if err != nil || len(blobs) != 1 || blobs[0] != other.Digest {
		t.Errorf("left are %v, %v", blobs, err)
	}
	mustImport(t, s, one, "web2")
	if _, _, err := s.Import(t.Context(), Request{Path: two, Name: "web2", Replace: true}); err != nil {
		t.Error(err)
	}
	if blobs, _ := s.listBlobs(); len(blobs) != 1 {
		t.Errorf("what was replaced is still there: %v", blobs)
	}
	list, err := s.List()
	if err != nil || len(list) != 2 || list[0].Name != "web" || list[1].Name != "web2" {
		t.Errorf("listed: %+v, %v", list, err)
	}
	empty(t, s)
	sound(t, s)
}

// TestGoneContentIsRestored: somebody has deleted a blob.
func TestGoneContentIsRestored(t *testing.T) {
	t.Parallel()
	s := newStore(t)
	raw := rawDisk(t, 6, 1<<20)
	i := mustImport(t, s, raw, "web")
	if err := os.Remove(i.Path); err != nil {
		t.Fatal(err)
	}
	if got, err := s.Get("web"); err != nil || !got.Missing {
		t.Errorf("%+v, %v", got, err)
	}
	_, err := s.Path("web")
	wantKind(t, err, images.ErrNotExist, "image web:", "import it again")
	if _, already, err := s.Import(t.Context(), Request{Path: raw, Name: "web"}); err != nil || already {
		t.Errorf("imported again: already %v, %v", already, err)
	}
	sound(t, s)
	if got, err := s.Get("web"); err != nil || got.Missing {
		t.Errorf("%+v, %v", got, err)
	}
}

func TestNamesThatAreNone(t *testing.T) {
	t.Parallel()
	s := newStore(t)
	raw := rawDisk(t, 7, 1<<20)
	for _, name := range []string{"", ".", "..", ".x", "a/b", "../x", "a\x00b", strings.Repeat("x", 201)} {
		_, _, err := s.Import(t.Context(), Request{Path: raw, Name: name})
		if !errors.Is(err, ErrName) {
			t.Errorf("%q: %v", name, err)
		}
		if _, err := s.Get(name); !errors.Is(err, ErrName) {
			t.Errorf("%q: %v", name, err)
		}
		if err := s.Remove(t.Context(), name); !errors.Is(err, ErrName) {
			t.Errorf("%q: %v", name, err)
		}
	}
	if _, err := os.Stat(s.dir); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("something was made: %v", err)
	}
}

func TestSourcesThatAreNone(t *testing.T) {
	t.Parallel()
	s := newStore(t)
	dir := folder(t)
	write := func(name, text string) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	vmdk, err := os.ReadFile(converted(t, rawDisk(t, 8, 4<<20), "vmdk"))
	if err != nil {
		t.Fatal(err)
	}
	for path, kind := range map[string]error{
		write("empty.raw", ""):                         images.ErrEmpty,
		write("page", "<html>404"):                     images.ErrFormat,
		write("disk.img", strings.Repeat("\x00", 512)): images.ErrFormat,
		write("odd.raw", strings.Repeat("\x00", 513)):  images.ErrTruncated,
		write("cut.vmdk", string(vmdk[:len(vmdk)/2])):  images.ErrUnsupported,
		filepath.Join(dir, "nothing"):                  images.ErrNotExist,
		dir:                                            images.ErrNotRegular,
		"/dev/null":                                    images.ErrNotRegular,
	} {
		_, _, err := s.Import(t.Context(), Request{Path: path, Name: "web"})
		wantKind(t, err, kind, path)
	}
	empty(t, s)
	if list, err := s.List(); err != nil || len(list) != 0 {
		t.Errorf("listed: %+v, %v", list, err)
	}
}

// TestDigestThatIsKnown: what was fetched must be what it was said to be.
func TestDigestThatIsKnown(t *testing.T) {
	t.Parallel()
	s := newStore(t)
	from := converted(t, rawDisk(t, 9, 1<<20), "qcow2")
	right := sum(t, from)
	wrong := Digest(strings.Replace(string(right), string(right[10]), "0", 1))
	if wrong == right {
		wrong = right[:len(right)-1] + "x"
	}
	const url = "https://example.org/disk.qcow2"
	_, _, err := s.Import(t.Context(), Request{Path: from, From: url, Digest: wrong, Name: "web"})
	wantKind(t, err, ErrChanged, url, string(right), string(wrong))
	i, _, err := s.Import(t.Context(), Request{Path: from, From: url, Digest: right, Name: "web"})
	if err != nil || i.Source.From != url {
		t.Errorf("%+v, %v", i, err)
	}
}

// TestInterrupted ends the context at each report of progress: nothing is left.
func TestInterrupted(t *testing.T) {
	t.Parallel()
	raw := rawDisk(t, 10, 16<<20)
	for _, stage := range []Stage{Reading, Converting, Hashing} {
		s := newStore(t)
		ctx, cancel := context.WithCancel(t.Context())
		var seen []Stage
		_, _, err := s.Import(ctx, Request{Path: raw, Name: "web", Progress: func(what Stage, done, total int64) {
			if done < 0 || done > total || total <= 0 {
				t.Errorf("%s: %d of %d", what, done, total)
			}
			seen = append(seen, what)
			if what == stage {
				cancel()
			}
		}})
		if !errors.Is(err, context.Canceled) || !slices.Contains(seen, stage) {
			t.Errorf("%s: %v", stage, err)
		}
		if got := files(t, s); len(got) != 0 {
			t.Errorf("%s: left are %q", stage, got)
		}
		empty(t, s)
		cancel()
	}
}

// TestProgramThatIsMissing: what needs no conversion comes in all the same.
func TestProgramThatIsMissing(t *testing.T) {
	t.Parallel()
	raw := rawDisk(t, 11, 1<<20)
	s := New(filepath.Join(folder(t), "images"), Options{QEMUImg: "no-such-qemu-img"})
	_, _, err := s.Import(t.Context(), Request{Path: raw, Name: "web"})
	wantKind(t, err, ErrNoConverter, "no-such-qemu-img", "apt install")
	empty(t, s)
	mustImport(t, s, converted(t, raw, "qcow2"), "web")
}

// TestBlobThatIsThere stays the file that it is, for a guest may run from it, but
// for one that somebody has cut short.
func TestBlobThatIsThere(t *testing.T) {
	t.Parallel()
	s := newStore(t)
	qcow2 := converted(t, rawDisk(t, 12, 1<<20), "qcow2")
	i := mustImport(t, s, qcow2, "one")
	before, err := os.Stat(i.Path)
	if err != nil {
		t.Fatal(err)
	}
	mustImport(t, s, qcow2, "two")
	if after, err := os.Stat(i.Path); err != nil || !os.SameFile(before, after) {
		t.Errorf("another file has taken its place: %v", err)
	}
	if err := os.Truncate(i.Path, 1000); err != nil {
		t.Skipf("only root may write what is read-only: %v", err)
	}
	mustImport(t, s, qcow2, "three")
	sound(t, s)
}

// TestContentThatGoesMeanwhile: what another name had is removed just before it would
// have this one, too.
func TestContentThatGoesMeanwhile(t *testing.T) {
	t.Parallel()
	s := newStore(t)
	raw := rawDisk(t, 13, 1<<20)
	i := mustImport(t, s, raw, "one")
	w := mustWork(t, s)
	defer func() { _ = w.end() }()
	r, err := s.read("one")
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Remove(t.Context(), "one"); err != nil {
		t.Fatal(err)
	}
	r.Name = "two"
	if _, _, err := s.commit(t.Context(), w, r, "", false); !errors.Is(err, errGone) {
		t.Errorf("committed without content: %v", err)
	}
	if list, err := s.List(); err != nil || len(list) != 0 {
		t.Errorf("listed: %+v, %v", list, err)
	}
	if again := mustImport(t, s, raw, "two"); again.Digest != i.Digest {
		t.Errorf("imported as %s, and before as %s", again.Digest, i.Digest)
	}
}
