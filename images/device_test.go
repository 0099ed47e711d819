package images

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"golang.org/x/sys/unix"
)

// loopDevice puts a block device over a file for the time of the test.
func loopDevice(t *testing.T, content []byte) string {
	t.Helper()
	needRoot(t, "make block devices")
	control, err := os.OpenFile("/dev/loop-control", os.O_RDWR, 0)
	if err != nil {
		t.Skipf("needs loop devices: %v", err)
	}
	defer func() { _ = control.Close() }()
	backing, err := os.OpenFile(writeFile(t, filepath.Join(t.TempDir(), "device"), content), os.O_RDWR, 0)
	must(t, err)
	defer func() { _ = backing.Close() }()
	for {
		number, err := unix.IoctlRetInt(int(control.Fd()), unix.LOOP_CTL_GET_FREE)
		if err != nil {
			t.Skipf("needs a free loop device: %v", err)
		}
		path := fmt.Sprintf("/dev/loop%d", number)
		device, err := os.OpenFile(path, os.O_RDWR, 0)
		if err != nil {
			t.Skipf("needs a free loop device: %v", err)
		}
		err = unix.IoctlSetInt(int(device.Fd()), unix.LOOP_SET_FD, int(backing.Fd()))
		if errors.Is(err, unix.EBUSY) { // somebody else took it meanwhile
			_ = device.Close()
			continue
		}
		must(t, err)
		t.Cleanup(func() {
			must(t, unix.IoctlSetInt(int(device.Fd()), unix.LOOP_CLR_FD, 0))
			must(t, device.Close())
		})
		return path
	}
}

func TestBlockDevice(t *testing.T) {
	path := loopDevice(t, patterned(1<<20))
	_, err := Inspect(path, "")
	wantKind(t, err, ErrFormat)
	_, err = Inspect(path, QCOW2)
	wantKind(t, err, ErrFormat)
	info, err := Inspect(path, Raw)
	must(t, err)
	if info.VirtualSize != 1<<20 || !info.Device || info.Format != Raw {
		t.Errorf("read as %+v", info)
	}

	// A second node of the same device is the same image.
	other := filepath.Join(t.TempDir(), "node")
	var stat unix.Stat_t
	must(t, unix.Stat(path, &stat))
	must(t, unix.Mknod(other, unix.S_IFBLK|0o600, int(stat.Rdev)))
	a, err := Open(path, Options{Format: Raw, ReadOnly: true})
	must(t, err)
	defer func() { _ = a.Close() }()
	b, err := Open(other, Options{Format: Raw, ReadOnly: true})
	if errors.Is(err, ErrPermission) {
		t.Skipf("needs a folder for device nodes: %v", err)
	}
	must(t, err)
	defer func() { _ = b.Close() }()
	if a.ID() != b.ID() {
		t.Errorf("one device is %v and %v", a.ID(), b.ID())
	}
}

// TestBlockDeviceOfTheHost: what the host has claimed, as by a mount, is not
// written to, and what a guest writes to cannot be mounted.
func TestBlockDeviceOfTheHost(t *testing.T) {
	path := loopDevice(t, make([]byte, 1<<20))
	claim := func() (int, error) { return unix.Open(path, unix.O_RDONLY|unix.O_EXCL|unix.O_CLOEXEC, 0) }
	mounted, err := claim()
	must(t, err)
	_, err = Open(path, Options{Format: Raw})
	wantKind(t, err, ErrInUse)
	c, err := Open(path, Options{Format: Raw, ReadOnly: true})
	must(t, err)
	must(t, c.Close())
	must(t, unix.Close(mounted))

	c, err = Open(path, Options{Format: Raw})
	must(t, err)
	defer func() { _ = c.Close() }()
	if fd, err := claim(); !errors.Is(err, unix.EBUSY) {
		_ = unix.Close(fd)
		t.Errorf("the host may claim a guest's disk: %v", err)
	}
}

// TestQEMUUsesBlockDevice: the claim must not keep QEMU from using it.
func TestQEMUUsesBlockDevice(t *testing.T) {
	c, err := Open(loopDevice(t, make([]byte, 1<<20)), Options{Format: Raw})
	must(t, err)
	defer func() { _ = c.Close() }()
	q := startQEMU(t, c.Layers)
	if !q.ready() {
		t.Fatalf("QEMU did not start: %s", q.stop(t))
	}
	q.io(t, "write -P 0x22 0 64k")
	q.stop(t)
	got := make([]byte, 1)
	if _, err := c.Top().File.ReadAt(got, 100); err != nil || got[0] != 0x22 {
		t.Errorf("read back %#x, %v", got[0], err)
	}
}
