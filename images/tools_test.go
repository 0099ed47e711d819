package images

import (
	"bytes"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
)

// need skips the test where a program that it holds the package against is
// missing, and says which.
func need(t testing.TB, program string) {
	t.Helper()
	if _, err := exec.LookPath(program); err != nil {
		t.Skipf("needs %s to compare with: %v", program, err)
	}
}

func needRoot(t testing.TB, what string) {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("only root can " + what)
	}
}

// tool runs a program to its end, which must be a good one.
func tool(t testing.TB, program string, args ...string) string {
	t.Helper()
	need(t, program)
	out, err := exec.Command(program, args...).CombinedOutput()
	if err != nil {
		t.Fatalf("%s %q: %v\n%s", program, args, err, out)
	}
	return string(out)
}

func qemuImg(t testing.TB, args ...string) string {
	t.Helper()
	return tool(t, "qemu-img", args...)
}

// checkStatus is the exit status of qemu-img check: 0 is well, 1 could not be
// checked, 2 is corrupt, 3 has leaks.
func checkStatus(t testing.TB, path string) int {
	t.Helper()
	need(t, "qemu-img")
	err := exec.Command("qemu-img", "check", "-f", "qcow2", path).Run()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		t.Fatal(err)
	}
	if exit == nil {
		return 0
	}
	return exit.ExitCode()
}

// patterned is the content of a raw disk of so many bytes: an island of random
// bytes here and there, zeros between.
func patterned(size int) []byte {
	disk := make([]byte, size)
	state := uint64(1)
	for island := 0; island < size; island += size / 5 {
		for i := island; i < min(size, island+size/16); i++ {
			state = state*6364136223846793005 + 1442695040888963407
			disk[i] = byte(state >> 56)
		}
	}
	return disk
}

func writeFile(t testing.TB, path string, content []byte) string {
	t.Helper()
	if err := os.WriteFile(path, content, 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// overlayBytes is a whole little qcow2 image to spoil.
func overlayBytes(t testing.TB, o Overlay) []byte {
	t.Helper()
	path := filepath.Join(t.TempDir(), "image.qcow2")
	if err := CreateOverlay(path, o); err != nil {
		t.Fatal(err)
	}
	content, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return content
}

// examineBytes inspects content as if it were a file of that name.
func examineBytes(name string, content []byte, asked Format) (Info, error) {
	return examine(name, bytes.NewReader(content), int64(len(content)), false, asked)
}

// wantKind fails the test unless the error is an *Error of that kind, with an
// image named and something said.
func wantKind(t testing.TB, err error, kind error) {
	t.Helper()
	var e *Error
	switch {
	case kind == nil && err != nil:
		t.Errorf("refused: %v", err)
	case kind == nil:
	case err == nil:
		t.Errorf("accepted, where %q was due", kind)
	case !errors.Is(err, kind) || !errors.As(err, &e):
		t.Errorf("refused with %q, which is not of kind %q", err, kind)
	case e.Path == "" && !errors.Is(err, ErrNotExist), e.Detail == "":
		t.Errorf("%q does not say which image or why: %#v", err, e)
	}
}

func openFiles(t testing.TB) int {
	t.Helper()
	entries, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Fatal(err)
	}
	return len(entries)
}
