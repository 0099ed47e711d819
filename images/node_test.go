package images

import (
	"errors"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"runtime"
	"testing"

	"golang.org/x/sys/unix"
)

func TestWhatIsNoFile(t *testing.T) {
	folder := t.TempDir()
	in := func(name string) string { return filepath.Join(folder, name) }
	must(t, unix.Mkfifo(in("pipe"), 0o600))
	listener, err := net.Listen("unix", in("socket"))
	must(t, err)
	defer func() { _ = listener.Close() }()
	must(t, os.Symlink("nowhere", in("dangling")))
	must(t, os.Symlink("round", in("round")))
	writeFile(t, in("empty"), nil)

	for path, kind := range map[string]error{
		folder:          ErrNotRegular,
		in("pipe"):      ErrNotRegular, // and does not wait for a writer
		in("socket"):    ErrNotRegular,
		"/dev/null":     ErrNotRegular,
		in("missing"):   ErrNotExist,
		in("dangling"):  ErrNotExist,
		in("round"):     ErrNotExist,
		in("empty/x"):   ErrNotExist,
		"":              ErrNotExist,
		in("empty"):     ErrEmpty,
		in("x\x00.raw"): ErrNotExist,
	} {
		_, err := Inspect(path, Raw)
		wantKind(t, err, kind)
		_, err = Open(path, Options{Format: Raw})
		wantKind(t, err, kind)
	}
	_, err = Inspect(in("missing"), "")
	if !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("%v is not fs.ErrNotExist", err)
	}
}

// asNobody runs a function whose file accesses are those of user 65534. The
// thread is not used again.
func asNobody(t *testing.T, do func()) {
	t.Helper()
	needRoot(t, "become somebody else")
	done := make(chan error)
	go func() {
		defer close(done)
		runtime.LockOSThread() // never unlocked: the thread ends here
		if _, err := unix.SetfsuidRetUid(65534); err != nil {
			done <- err
			return
		}
		do()
	}()
	must(t, <-done)
}

func TestPermission(t *testing.T) {
	folder, err := os.MkdirTemp("", "images")
	must(t, err)
	defer func() { _ = os.RemoveAll(folder) }()
	must(t, os.Chmod(folder, 0o755))
	path := plain(t, filepath.Join(folder, "disk.qcow2"))

	asNobody(t, func() {
		_, err := Inspect(path, "")
		wantKind(t, err, ErrPermission)
	})
	must(t, os.Chmod(path, 0o644))
	asNobody(t, func() {
		_, err := Inspect(path, "")
		wantKind(t, err, nil)
		_, err = Open(path, Options{})
		wantKind(t, err, ErrPermission)
		c, err := Open(path, Options{ReadOnly: true})
		wantKind(t, err, nil)
		if err == nil {
			_ = c.Close()
		}
	})
	must(t, os.Chmod(folder, 0o700))
	asNobody(t, func() {
		_, err := Inspect(path, "")
		wantKind(t, err, ErrPermission)
		_, err = NewOverlay(folder, 1<<20)
		wantKind(t, err, ErrPermission)
	})
}

// TestExchangedFile: what is examined is what was found, whatever is put in
// its place meanwhile.
func TestExchangedFile(t *testing.T) {
	path := plain(t, filepath.Join(t.TempDir(), "disk.qcow2"))
	n, err := locate(path)
	must(t, err)
	defer n.close()
	must(t, os.Remove(path))
	must(t, os.Symlink("/etc/passwd", path))
	f, err := n.open(true)
	must(t, err)
	defer func() { _ = f.Close() }()
	if info, err := n.inspect(f, "", examine); err != nil || info.Format != QCOW2 {
		t.Errorf("examined another file: %+v, %v", info, err)
	}
}
