package images

import (
	"io"
	"os"
	"path/filepath"
	"strconv"

	"golang.org/x/sys/unix"
)

// ID tells whether two names lead to the same image: the device and inode of a
// file, or, for a block device, its own number and inode 0, so that two device
// nodes of one disk are one image.
type ID struct {
	Device uint64 `json:"device"`
	Inode  uint64 `json:"inode"`
}

// node is a file that was found and not yet opened (O_PATH): its kind, place
// and identity can be judged before an open has any effect on it. Opening a
// pipe may block and opening a tape winds it; this does neither, and nobody can
// put another file in its place afterwards.
type node struct {
	path string // as the caller said
	fd   int
	stat unix.Stat_t
}

// locate finds the file and makes sure that it is one.
func locate(path string) (*node, error) {
	fd, err := openRetry(path, unix.O_PATH|unix.O_CLOEXEC)
	if err != nil {
		return nil, openFailed(path, false, err)
	}
	n := &node{path: path, fd: fd}
	if err := unix.Fstat(fd, &n.stat); err != nil {
		n.close()
		return nil, openFailed(path, false, err)
	}
	if kind := n.strange(); kind != "" {
		n.close()
		return nil, &Error{Path: path, Kind: ErrNotRegular, Detail: "it is " + kind + ", not a disk image",
			Advice: "name an image file or a block device"}
	}
	return n, nil
}

// strange names what a node is that holds no disk.
func (n *node) strange() string {
	switch n.stat.Mode & unix.S_IFMT {
	case unix.S_IFREG, unix.S_IFBLK:
		return ""
	case unix.S_IFDIR:
		return "a directory"
	case unix.S_IFSOCK:
		return "a socket"
	case unix.S_IFIFO:
		return "a named pipe"
	case unix.S_IFCHR:
		return "a character device"
	}
	return "not a regular file"
}

func (n *node) device() bool { return n.stat.Mode&unix.S_IFMT == unix.S_IFBLK }

func (n *node) id() ID {
	if n.device() {
		return ID{Device: n.stat.Rdev}
	}
	return ID{Device: n.stat.Dev, Inode: n.stat.Ino}
}

// magic is the node's name in procfs: following it leads to the very file that
// was found, whatever has happened to its path since.
func (n *node) magic() string { return "/proc/self/fd/" + strconv.Itoa(n.fd) }

// folder is where the file really lies, all symbolic links resolved.
func (n *node) folder() (string, error) {
	place, err := os.Readlink(n.magic())
	if err != nil {
		return "", openFailed(n.path, false, err)
	}
	return filepath.Dir(place), nil
}

// open opens the file that was found. A block device that is to be written is
// claimed for as long as the descriptor lives (O_EXCL, open(2)), which fails
// while the host has it mounted.
func (n *node) open(write bool) (*os.File, error) {
	flags := unix.O_RDONLY | unix.O_CLOEXEC
	if write {
		flags = unix.O_RDWR | unix.O_CLOEXEC
		if n.device() {
			flags |= unix.O_EXCL
		}
	}
	fd, err := openRetry(n.magic(), flags)
	if err != nil {
		return nil, openFailed(n.path, write, err)
	}
	return os.NewFile(uintptr(fd), n.path), nil
}

// examiner is examine, or examineAny.
type examiner func(path string, r io.ReaderAt, size int64, device bool, asked Format) (Info, error)

// inspect examines the opened file.
func (n *node) inspect(f *os.File, asked Format, look examiner) (Info, error) {
	// lseek(2) knows the size of block devices, which stat(2) does not.
	size, err := f.Seek(0, io.SeekEnd)
	if err != nil {
		return Info{}, readFailed(n.path, err)
	}
	info, err := look(n.path, f, size, n.device(), asked)
	if err != nil {
		return Info{}, err
	}
	info.Allocated = n.stat.Blocks * 512 // stat(2): in units of 512 bytes
	return info, nil
}

func (n *node) close() { _ = unix.Close(n.fd) }

// openRetry is open(2) that a signal does not disturb.
func openRetry(path string, flags int) (int, error) {
	for {
		fd, err := unix.Open(path, flags, 0)
		if err != unix.EINTR {
			return fd, err
		}
	}
}
