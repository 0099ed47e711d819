package fetch

import (
	"fmt"

	"golang.org/x/sys/unix"
)

// What is left free of a disk, so that others on it go on: a share of it, but
// not more than so much.
const (
	maxSpare   = 64 << 20
	spareShare = 32
)

// roomInterval is how many bytes are written between two looks at the disk.
const roomInterval = 16 << 20

// room keeps a file from filling the disk that it lies on.
type room struct {
	dir     string
	written int64 // since the last look
}

// check looks whether so many more bytes fit.
func (r *room) check(more int64) error {
	var s unix.Statfs_t
	if err := unix.Statfs(r.dir, &s); err != nil {
		return writeFailed(r.dir, err)
	}
	free, whole := int64(s.Bavail)*s.Bsize, int64(s.Blocks)*s.Bsize
	spare := min(maxSpare, whole/spareShare)
	if more <= free-spare {
		return nil
	}
	return &Error{Kind: ErrNoSpace, Err: unix.ENOSPC,
		Detail: fmt.Sprintf("%s has no room for it: %s free, %s of them to be spared, and %s more needed", show(r.dir), amount(free), amount(spare), amount(more)),
		Advice: "free some space, or use another data directory"}
}

// took counts what has been written, and looks now and then.
func (r *room) took(n int) error {
	if r.written += int64(n); r.written < roomInterval {
		return nil
	}
	r.written = 0
	return r.check(0)
}

// amount is a number of bytes for people.
func amount(n int64) string {
	switch {
	case n >= 10<<30:
		return fmt.Sprintf("%d GiB", n>>30)
	case n >= 10<<20:
		return fmt.Sprintf("%d MiB", n>>20)
	case n >= 10<<10:
		return fmt.Sprintf("%d KiB", n>>10)
	}
	return fmt.Sprintf("%d bytes", n)
}
