package fetch

import (
	"fmt"

	"golang.org/x/sys/unix"

	rooms "kvmrun/images/room"
)

// room keeps a file from filling the disk that it lies on.
type room struct {
	dir     string
	written int64 // since the last look
}

// check looks whether so many more bytes fit.
func (r *room) check(more int64) error {
	free, spare, err := rooms.In(r.dir)
	if err != nil {
		return writeFailed(r.dir, err)
	}
	if more <= free-spare {
		return nil
	}
	return &Error{Kind: ErrNoSpace, Err: unix.ENOSPC,
		Detail: fmt.Sprintf("%s has no room for it: %s free, %s of them to be spared, and %s more needed", show(r.dir), amount(free), amount(spare), amount(more)),
		Advice: "free some space, or use another data directory"}
}

// took counts what has been written, and looks now and then.
func (r *room) took(n int) error {
	if r.written += int64(n); r.written < rooms.Interval {
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
