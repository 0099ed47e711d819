package supervisor

import (
	"fmt"
	"io"
	"os"

	"golang.org/x/sys/unix"

	"kvmrun/launcher/qemu"
)

// handover is the set of open files that QEMU will inherit, numbered as it
// will see them.
type handover struct {
	files []*os.File
	sets  []qemu.FDSet
}

// firstFD is the number that os/exec gives the first of a child's extra files.
const firstFD = 3

// give adds a file, which then belongs to the handover, and returns the
// descriptor's number in QEMU.
func (h *handover) give(f *os.File) int {
	h.files = append(h.files, f)
	return firstFD + len(h.files) - 1
}

// source adds a file that QEMU opens as /dev/fdset/N, with its own locks and
// access modes.
func (h *handover) source(f *os.File) qemu.Source {
	set := qemu.FDSet{FD: h.give(f), Set: len(h.sets) + 1}
	h.sets = append(h.sets, set)
	return qemu.Source(fmt.Sprintf("/dev/fdset/%d", set.Set))
}

// plain adds a file that QEMU opens by fopen(3), as it does kernels: such a
// file is opened anew by way of /proc, with the rights of QEMU's own user. One
// that only root may read is handed over as a copy in memory.
func (h *handover) plain(path string) (qemu.Source, error) {
	if path == "" {
		return "", nil
	}
	f, err := os.Open(path)
	if err != nil {
		return "", err
	}
	info, err := f.Stat()
	if err == nil && info.Mode().Perm()&0o004 == 0 {
		f, err = inMemory(f)
	}
	if err != nil {
		_ = f.Close()
		return "", err
	}
	return qemu.Source(fmt.Sprintf("/proc/self/fd/%d", h.give(f))), nil
}

// inMemory copies a file and closes it (memfd_create(2)).
func inMemory(f *os.File) (*os.File, error) {
	defer func() { _ = f.Close() }()
	fd, err := unix.MemfdCreate("kvmrun-boot", unix.MFD_CLOEXEC)
	if err != nil {
		return f, fmt.Errorf("memfd_create: %w", err)
	}
	copied := os.NewFile(uintptr(fd), f.Name())
	_, err = io.Copy(copied, f)
	return copied, err
}

// close closes this process's copies. It may be called more than once.
func (h *handover) close() {
	for _, f := range h.files {
		_ = f.Close()
	}
	h.files = nil
}
