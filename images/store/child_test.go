package store

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"kvmrun/images"
)

// childVariable makes a copy of the test binary one of several processes that use
// a store. Its arguments are the store's folder and what to do.
const childVariable = "KVMRUN_STORE_TEST_CHILD"

func TestMain(m *testing.M) {
	if os.Getenv(childVariable) != "" {
		if err := child(os.Args[1], os.Args[2], os.Args[3:]); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	os.Exit(m.Run())
}

// testUser is whom qemu-img runs as in tests; a number that nobody has.
const testUser = 1899999999

func open(dir string) *Store {
	return New(dir, Options{QEMUImg: testedQEMUImg(), User: func() (uint32, error) { return testUser, nil }})
}

// testedQEMUImg is the one beside the QEMU that KVMRUN_TEST_QEMU names, if there is
// one and every user can reach it, or else the system's.
func testedQEMUImg() string {
	const system = "qemu-img"
	qemu := os.Getenv("KVMRUN_TEST_QEMU")
	if qemu == "" {
		return system
	}
	beside := filepath.Join(filepath.Dir(qemu), "qemu-img")
	for path := beside; path != "/" && path != "."; path = filepath.Dir(path) {
		if info, err := os.Stat(path); err != nil || info.Mode()&1 == 0 {
			return system
		}
	}
	return beside
}

// child is one process of several: "import FILE NAME…", "remove NAME…", "prune".
// That somebody else was quicker is no failure.
func child(dir, what string, args []string) error {
	s, ctx := open(dir), context.Background()
	switch what {
	case "import":
		for _, name := range args[1:] {
			if _, _, err := s.Import(ctx, Request{Path: args[0], Name: name}); err != nil {
				return err
			}
		}
	case "remove":
		for _, name := range args {
			if err := s.Remove(ctx, name); err != nil && !errors.Is(err, ErrNoImage) {
				return err
			}
		}
	case "prune":
		_, err := s.Prune(ctx, false)
		return err
	}
	return nil
}

// startChild starts such a process. It ends with the test at the latest.
func startChild(t *testing.T, dir, what string, args ...string) (*exec.Cmd, *bytes.Buffer) {
	t.Helper()
	var said bytes.Buffer
	cmd := exec.Command("/proc/self/exe", append([]string{dir, what}, args...)...)
	cmd.Env = append(os.Environ(), childVariable+"=1")
	cmd.Stderr = &said
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = cmd.Process.Kill() })
	return cmd, &said
}

func need(t testing.TB) {
	t.Helper()
	if _, err := exec.LookPath("qemu-img"); err != nil {
		t.Skipf("needs qemu-img: %v", err)
	}
}

func qemuImgRun(t testing.TB, args ...string) string {
	t.Helper()
	need(t)
	out, err := exec.Command("qemu-img", args...).CombinedOutput()
	if err != nil {
		t.Fatalf("qemu-img %q: %v\n%s", args, err, out)
	}
	return string(out)
}

// folder is a folder that other users can reach the way to, as /var/lib is.
func folder(t testing.TB) string {
	t.Helper()
	return t.TempDir()
}

// rawDisk makes a raw disk with islands of bytes that the seed determines.
func rawDisk(t testing.TB, seed uint64, size int64) string {
	t.Helper()
	path := filepath.Join(folder(t), "disk.raw")
	f, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = f.Close() }()
	island := make([]byte, 64<<10)
	for at := int64(0); at+int64(len(island)) <= size; at += size / 4 {
		for i := range island {
			seed = seed*6364136223846793005 + 1442695040888963407
			island[i] = byte(seed >> 56)
		}
		if _, err := f.WriteAt(island, at); err != nil {
			t.Fatal(err)
		}
	}
	if err := f.Truncate(size); err != nil {
		t.Fatal(err)
	}
	return path
}

// converted is a raw disk in another format.
func converted(t testing.TB, raw string, args ...string) string {
	t.Helper()
	path := filepath.Join(folder(t), "disk")
	qemuImgRun(t, append(append([]string{"convert", "-f", "raw", "-O"}, args...), raw, path)...)
	return path
}

// newStore is an empty store.
func newStore(t testing.TB) *Store {
	t.Helper()
	need(t)
	return open(filepath.Join(folder(t), "images"))
}

func mustImport(t testing.TB, s *Store, path, name string) Image {
	t.Helper()
	i, _, err := s.Import(context.Background(), Request{Path: path, Name: name})
	if err != nil {
		t.Fatal(err)
	}
	return i
}

// wantKind wants an error that tells the image, what is the matter and what to do.
func wantKind(t testing.TB, err, kind error, says ...string) {
	t.Helper()
	var e *images.Error
	switch {
	case err == nil:
		t.Errorf("accepted, where %q was due", kind)
		return
	case !errors.Is(err, kind):
		t.Errorf("%q is not of kind %q", err, kind)
	case errors.As(err, &e) && (e.Path == "" || e.Detail == "" || !strings.Contains(err.Error(), "; ")):
		t.Errorf("%q lacks a part: %#v", err, e)
	}
	for _, words := range says {
		if !strings.Contains(err.Error(), words) {
			t.Errorf("%q does not say %q", err, words)
		}
	}
}

// sound checks what must be so whoever was killed: each name leads to a blob, each
// blob is whole and has the digest that it is called by, and, if nobody works here
// now, nothing is left in partial once something was pruned.
func sound(t testing.TB, s *Store) {
	t.Helper()
	list, err := s.List()
	if err != nil {
		t.Error(err)
	}
	for _, i := range list {
		if i.Missing {
			t.Errorf("%s has no blob", i.Name)
		}
	}
	blobs, err := s.listBlobs()
	if err != nil {
		t.Error(err)
	}
	for _, d := range blobs {
		if got := sum(t, s.blob(d)); got != d {
			t.Errorf("the blob %s has the digest %s", d, got)
		}
		info, err := os.Stat(s.blob(d))
		if err != nil {
			t.Fatal(err)
		}
		if info.Mode() != blobMode {
			t.Errorf("the blob %s has mode %v", d, info.Mode())
		}
	}
}

func sum(t testing.TB, path string) Digest {
	t.Helper()
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = f.Close() }()
	size, err := f.Seek(0, io.SeekEnd)
	if err != nil {
		t.Fatal(err)
	}
	d, err := hashFile(context.Background(), f, size, nil)
	if err != nil {
		t.Fatal(err)
	}
	return d
}

// files are all that is in the store's folder, by their path.
func files(t testing.TB, s *Store) []string {
	t.Helper()
	var found []string
	err := filepath.WalkDir(s.dir, func(path string, e fs.DirEntry, err error) error {
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		if err == nil && !e.IsDir() {
			found = append(found, strings.TrimPrefix(path, s.dir+"/"))
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return found
}

// empty checks that nothing is under way or left.
func empty(t testing.TB, s *Store) {
	t.Helper()
	entries, err := os.ReadDir(s.partial())
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		t.Fatal(err)
	}
	for _, e := range entries {
		t.Errorf("left in partial: %s", e.Name())
	}
}
