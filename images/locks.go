package images

import (
	"fmt"
	"io"
	"os"

	"golang.org/x/sys/unix"
)

// QEMU's image locking (block/file-posix.c in its sources): each process holds
// shared open-file-description locks (fcntl(2)) on single bytes of the image.
// A byte from lockUses on says that it uses a permission, a byte from
// lockDenies on that it tolerates no other user of that permission.
const (
	lockUses   = 100
	lockDenies = 200
)

// The permissions (BLK_PERM_* in QEMU's block-common.h), as offsets from
// lockUses and lockDenies.
const (
	consistentRead = 0
	write          = 1
	resize         = 3
)

// access is what a user of an image does and what it tolerates no other to do.
type access struct {
	uses, denies []int64
}

var (
	// writing is what QEMU asks of the file under a read-write qcow2 image
	// that a device uses; for a raw one it asks the same without resize.
	writing = access{uses: []int64{consistentRead, write, resize}, denies: []int64{write, resize}}
	// reading is what it asks of the file under a read-only node, which is
	// what backing files are: others may read it, nobody may change it.
	reading = access{uses: []int64{consistentRead}, denies: []int64{write, resize}}
)

// Locked says whether QEMU, or anything that locks as QEMU does, has the image
// open in a way that would make QEMU fail to open it for writing, or for
// reading. It asks the kernel and takes no lock. A lock held through the same
// open file (a duplicate of f) is not seen, and neither is that of a QEMU that
// waits for an incoming migration, for it has none yet.
func Locked(f *os.File, forWriting bool) (bool, error) {
	want := reading
	if forWriting {
		want = writing
	}
	for _, permission := range want.uses {
		if held, err := byteLocked(f, lockDenies+permission); held || err != nil {
			return held, err
		}
	}
	for _, permission := range want.denies {
		if held, err := byteLocked(f, lockUses+permission); held || err != nil {
			return held, err
		}
	}
	return false, nil
}

// byteLocked asks whether a write lock on the byte would be refused, which any
// lock of another open file's causes. As a query this needs no write access.
func byteLocked(f *os.File, at int64) (bool, error) {
	conn, err := f.SyscallConn()
	if err != nil {
		return false, err
	}
	lock := unix.Flock_t{Type: unix.F_WRLCK, Whence: io.SeekStart, Start: at, Len: 1}
	var asked error
	if err := conn.Control(func(fd uintptr) {
		asked = unix.FcntlFlock(fd, unix.F_OFD_GETLK, &lock)
	}); err != nil {
		return false, err
	}
	if asked != nil {
		return false, fmt.Errorf("asking for locks on %s: %w", quote(f.Name()), asked)
	}
	return lock.Type != unix.F_UNLCK, nil
}

// CheckUnused makes sure that QEMU will get its locks on every layer: that
// nobody uses the image itself, and nobody writes to what lies beneath it. The
// error is of kind ErrInUse and names the layer. Only QEMU's own locking
// settles who wins when two start at once; this says it early and in words.
func (c *Chain) CheckUnused() error {
	for i := range c.Layers {
		l := &c.Layers[i]
		held, err := Locked(l.File, !l.ReadOnly)
		if err != nil {
			return &Error{Path: l.Path, Kind: ErrRead, Detail: "its locks cannot be looked at", Err: err}
		}
		if held {
			return l.inUse()
		}
	}
	return nil
}

// inUse explains the conflict. A throw-away overlay helps against readers
// alone: a base that another writes to changes under the overlay.
func (l *Layer) inUse() error {
	e := &Error{Path: l.Path, Kind: ErrInUse, Detail: "another process writes to it, so it cannot be read safely",
		Advice: "stop the VM that uses it, or give this one a copy"}
	if l.ReadOnly {
		return e
	}
	e.Detail = "another process uses it, and two writers would destroy it"
	e.Advice = "stop the VM that uses it, or start both with --ephemeral, so that neither writes to it"
	if held, err := Locked(l.File, false); err == nil && !held {
		e.Detail = "other processes read it and rely on its not changing"
		e.Advice = "start this VM with --ephemeral as well, or stop those that use it"
	}
	return e
}
