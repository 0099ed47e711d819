// Package room tells how much of a file system may be filled, so that what others have
// there goes on: guests whose disks grow, above all.
package room

import "golang.org/x/sys/unix"

// What is left free of a file system: a share of it, but not more than so much.
const (
	maxSpare   = 64 << 20
	spareShare = 32
)

// Interval is how many bytes may be written between two looks.
const Interval = 16 << 20

// In returns how many bytes are free where a file or folder lies, and how many of them
// are to be spared (statfs(2)).
func In(path string) (free, spare int64, err error) {
	var s unix.Statfs_t
	if err := unix.Statfs(path, &s); err != nil {
		return 0, 0, err
	}
	return int64(s.Bavail) * s.Bsize, min(maxSpare, int64(s.Blocks)*s.Bsize/spareShare), nil
}
