package images

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// Overlay says what a new qcow2 image is like.
type Overlay struct {
	// VirtualSize is the size of the disk in bytes: a multiple of 512. It may
	// exceed the backing file's; what is above reads as zeros.
	VirtualSize int64
	// BackingFile is the name for the header, absolute or from the folder of
	// the overlay; empty for none. Whether it exists is not looked at.
	BackingFile string
	// BackingFormat is the backing file's format and goes with its name.
	BackingFormat Format
}

// NewOverlay makes an empty qcow2 image without a name in the folder, open for
// reading and writing: it vanishes with its last descriptor, whatever is
// killed. Its header names no backing file; QEMU is told of it with "backing"
// in -blockdev. The caller owns the file.
func NewOverlay(folder string, virtualSize int64) (*os.File, error) {
	image, bad := newLayout(Overlay{VirtualSize: virtualSize})
	if bad != nil {
		return nil, bad.about(folder)
	}
	f, err := unnamed(folder, unix.O_EXCL) // O_EXCL: it shall never get a name
	if errors.Is(err, unix.EOPNOTSUPP) || errors.Is(err, unix.EISDIR) {
		f, err = unlinked(folder)
	}
	if err != nil {
		return nil, createFailed(folder, err)
	}
	if err := image.write(f); err != nil {
		return nil, errors.Join(createFailed(folder, err), f.Close())
	}
	return f, nil
}

// CreateOverlay makes an empty qcow2 image at path, which must not exist, of
// mode 0600. It appears there whole or not at all; that it survives a power
// cut needs an fsync(2) of the file and its folder, left to the caller.
func CreateOverlay(path string, o Overlay) error {
	image, bad := newLayout(o)
	if bad != nil {
		return bad.about(path)
	}
	folder := filepath.Dir(path)
	f, err := unnamed(folder, 0)
	if errors.Is(err, unix.EOPNOTSUPP) || errors.Is(err, unix.EISDIR) {
		return createByLink(path, image)
	}
	if err != nil {
		return createFailed(path, err)
	}
	defer func() { _ = f.Close() }()
	if err := image.write(f); err != nil {
		return createFailed(path, err)
	}
	magic := "/proc/self/fd/" + strconv.Itoa(int(f.Fd()))
	if err := unix.Linkat(unix.AT_FDCWD, magic, unix.AT_FDCWD, path, unix.AT_SYMLINK_FOLLOW); err != nil {
		return createFailed(path, err)
	}
	return nil
}

// passingPrefix begins the names that overlays have for a moment on file systems
// without unnamed files. os.CreateTemp adds a number.
const passingPrefix = ".overlay-"

// IsPassing tells whether a file's name is one that an overlay has only while it is
// made. Who was killed meanwhile has left it.
func IsPassing(name string) bool {
	number, ok := strings.CutPrefix(name, passingPrefix)
	return ok && number != "" && strings.Trim(number, "0123456789") == ""
}

// createByLink is for file systems without unnamed files: the image is written
// under a passing name, and a link gives it the right one unless that is taken.
func createByLink(path string, l *layout) error {
	f, err := os.CreateTemp(filepath.Dir(path), passingPrefix+"*")
	if err != nil {
		return createFailed(path, err)
	}
	err = l.write(f)
	if err == nil {
		err = os.Link(f.Name(), path)
	}
	if err = errors.Join(err, os.Remove(f.Name()), f.Close()); err != nil {
		return createFailed(path, err)
	}
	return nil
}

// unnamed makes a file without a name (O_TMPFILE, open(2)).
func unnamed(folder string, flags int) (*os.File, error) {
	fd, err := unix.Open(folder, unix.O_TMPFILE|unix.O_RDWR|unix.O_CLOEXEC|flags, 0o600)
	if err != nil {
		return nil, err
	}
	return os.NewFile(uintptr(fd), filepath.Join(folder, "overlay")), nil
}

// unlinked makes a file and takes its name away.
func unlinked(folder string) (*os.File, error) {
	f, err := os.CreateTemp(folder, passingPrefix+"*")
	if err != nil {
		return nil, err
	}
	// Whoever tidies up may have been quicker.
	if err := os.Remove(f.Name()); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, errors.Join(err, f.Close())
	}
	return f, nil
}

// plainName is the form of a path that QEMU takes for a path in a header.
func plainName(path string) string {
	if notPlain(path) != "" && !strings.ContainsRune(path, 0) {
		return "./" + path
	}
	return path
}

func createFailed(path string, cause error) *Error {
	e := &Error{Path: path, Kind: ErrCreate, Detail: "an overlay cannot be written there", Err: cause}
	switch {
	case errors.Is(cause, unix.EEXIST):
		e.Advice = "choose another name, or remove the file"
	case errors.Is(cause, unix.ENOSPC), errors.Is(cause, unix.EDQUOT):
		e.Advice = "free some space, or choose another folder"
	case errors.Is(cause, unix.EACCES), errors.Is(cause, unix.EPERM), errors.Is(cause, unix.EROFS):
		e.Kind, e.Advice = ErrPermission, "choose a folder that can be written to"
	case errors.Is(cause, unix.ENOENT), errors.Is(cause, unix.ENOTDIR):
		e.Kind, e.Advice = ErrNotExist, "create the folder first"
	}
	return e
}
