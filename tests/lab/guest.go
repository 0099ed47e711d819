package lab

import (
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"testing"
)

// GuestFiles are the files of the test guest. They are shared by all tests
// and not to be written.
type GuestFiles struct {
	Kernel string
	Initrd string
	Disk   string // a bootable qcow2; empty for the generic guest
}

// guestLock keeps this process from building one guest twice at once; between
// processes, the script sees to it.
var guestLock sync.Mutex

// Guest builds the test guest, or finds it built. What it does and which words
// of a kernel command line it knows stands in tests/guest/build.sh.
func Guest(t testing.TB) GuestFiles {
	t.Helper()
	dir := buildGuest(t)
	return GuestFiles{
		Kernel: filepath.Join(dir, "vmlinuz"),
		Initrd: filepath.Join(dir, "initrd"),
		Disk:   filepath.Join(dir, "disk.qcow2"),
	}
}

// GenericGuest is a guest with drivers for QEMU's emulated network cards.
func GenericGuest(t testing.TB) GuestFiles {
	t.Helper()
	dir := buildGuest(t, "generic")
	return GuestFiles{
		Kernel: filepath.Join(dir, "generic-vmlinuz"),
		Initrd: filepath.Join(dir, "generic-initrd"),
	}
}

// SSHGuest is a guest with an SSH server, which takes its keys from the seed disk.
func SSHGuest(t testing.TB) GuestFiles {
	t.Helper()
	dir := buildGuest(t, "ssh")
	return GuestFiles{
		Kernel: filepath.Join(dir, "vmlinuz"),
		Initrd: filepath.Join(dir, "ssh-initrd"),
	}
}

// CopyDisk copies the guest's disk into a directory of the test, so that it
// may be written, and returns the copy's path.
func (g GuestFiles) CopyDisk(t testing.TB) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "disk.qcow2")
	from, err := os.Open(g.Disk)
	if err != nil {
		t.Fatalf("lab: %v", err)
	}
	defer func() { _ = from.Close() }()
	to, err := os.Create(path)
	if err != nil {
		t.Fatalf("lab: %v", err)
	}
	if _, err := io.Copy(to, from); err != nil {
		t.Fatalf("lab: copy the guest's disk: %v", err)
	}
	if err := to.Close(); err != nil {
		t.Fatalf("lab: %v", err)
	}
	return path
}

// BlankDisk makes an empty disk of 1 MiB in a directory of the test and returns
// its path.
func BlankDisk(t testing.TB, format string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "data."+format)
	if out, err := exec.Command("qemu-img", "create", "-q", "-f", format, path, "1M").CombinedOutput(); err != nil {
		t.Fatalf("lab: qemu-img create: %v\n%s", err, out)
	}
	return path
}

func buildGuest(t testing.TB, flavour ...string) string {
	t.Helper()
	root, err := moduleRoot()
	if err != nil {
		t.Fatalf("lab: %v", err)
	}
	dir := filepath.Join(root, "build", "guest")
	guestLock.Lock()
	defer guestLock.Unlock()
	script := filepath.Join(root, "tests", "guest", "build.sh")
	cmd := exec.Command(script, append([]string{dir}, flavour...)...)
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("lab: build the test guest: %v\n%s", err, out)
	}
	return dir
}
