package lab

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"testing"

	"golang.org/x/sys/unix"
)

// built is the kvmrun of this test binary, once it has been asked for.
var built struct {
	sync.Mutex
	kvmrun string
	err    error
}

// Binary is the kvmrun under test: the one that KVMRUN_BIN names, or else one
// built from this source once per test binary, with coverage if GOCOVERDIR is
// set. Its file must be called kvmrun.
func Binary(t testing.TB) string {
	t.Helper()
	built.Lock()
	defer built.Unlock()
	if built.kvmrun == "" && built.err == nil {
		built.kvmrun, built.err = findOrBuild()
	}
	if built.err != nil {
		t.Fatalf("lab: kvmrun under test: %v", built.err)
	}
	return built.kvmrun
}

func findOrBuild() (string, error) {
	if path := os.Getenv("KVMRUN_BIN"); path != "" {
		return filepath.Abs(path)
	}
	root, err := moduleRoot()
	if err != nil {
		return "", err
	}
	if os.Getenv("GOCOVERDIR") != "" {
		return build(root, filepath.Join(root, "build", "lab-cover"), "-cover", "-coverpkg=./...")
	}
	return build(root, filepath.Join(root, "build", "lab"))
}

// build builds kvmrun in dir, always in the same place, so that nothing piles
// up when tests are killed. The new one takes the old one's place in one step:
// other tests that run at the same time find a whole program there at any time.
func build(root, dir string, flags ...string) (string, error) {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return "", err
	}
	lock, err := os.OpenFile(filepath.Join(dir, ".lock"), os.O_RDWR|os.O_CREATE, 0o644)
	if err != nil {
		return "", err
	}
	defer func() { _ = lock.Close() }() // and with it goes the lock
	if err := unix.Flock(int(lock.Fd()), unix.LOCK_EX); err != nil {
		return "", fmt.Errorf("lock %s: %w", lock.Name(), err)
	}
	out := filepath.Join(dir, "kvmrun")
	fresh := out + ".new"
	// Half a program of a build that was killed is in go's way.
	if err := os.RemoveAll(fresh); err != nil {
		return "", err
	}
	args := append([]string{"build", "-buildvcs=false", "-o", fresh}, flags...)
	cmd := exec.Command("go", append(args, "./cmd/kvmrun")...)
	cmd.Dir = root
	if text, err := cmd.CombinedOutput(); err != nil {
		return "", fmt.Errorf("%s: %w\n%s", cmd, err, text)
	}
	return out, os.Rename(fresh, out)
}

// commandPath is the search path of commands: kvmrun's directory if a test
// has asked for it, that of the QEMU under test, and the system's.
func commandPath() string {
	path := qemuDir + ":" + searchPath
	built.Lock()
	defer built.Unlock()
	if built.kvmrun != "" {
		path = filepath.Dir(built.kvmrun) + ":" + path
	}
	return path
}

// qemuDir shows, in worlds, the directory of the QEMU that KVMRUN_TEST_QEMU
// names, a file called qemu-system-x86_64. That may lie where only root can
// look, and kvmrun's QEMU does not run as root. Without the variable it does
// not exist.
const qemuDir = "/var/lib/qemu-under-test"

// testQEMU is the absolute path of the QEMU under test; empty means the one
// in the search path.
func testQEMU() (string, error) {
	const variable = "KVMRUN_TEST_QEMU"
	path := os.Getenv(variable)
	if path == "" {
		return "", nil
	}
	if filepath.Base(path) != "qemu-system-x86_64" {
		return "", fmt.Errorf("%s is %s: the file must be called qemu-system-x86_64", variable, path)
	}
	path, err := filepath.Abs(path)
	if err == nil {
		_, err = os.Stat(path)
	}
	if err != nil {
		return "", fmt.Errorf("%s: %w", variable, err)
	}
	return path, nil
}

// moduleRoot is the directory of go.mod, above the package under test.
func moduleRoot() (string, error) {
	start, err := os.Getwd()
	if err != nil {
		return "", err
	}
	for dir := start; ; dir = filepath.Dir(dir) {
		if _, err := os.Stat(filepath.Join(dir, "go.mod")); err == nil {
			return dir, nil
		}
		if dir == filepath.Dir(dir) {
			return "", fmt.Errorf("no go.mod in or above %s", start)
		}
	}
}
