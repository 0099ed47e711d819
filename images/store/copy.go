package store

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"hash"
	"io"
	"os"

	"golang.org/x/sys/unix"

	"kvmrun/images"
	"kvmrun/images/room"
)

// chunk is how much is read at once, in bytes.
const chunk = 1 << 20

// zeros is what a hole reads as.
var zeros [chunk]byte

// maxHoles is how much in holes goes into a digest that is only nice to have, in
// bytes: half a minute's work. A raw disk may have tebibytes of them.
const maxHoles = 64 << 30

// reader reads a file from end to end, without its holes, and takes its SHA-256.
type reader struct {
	ctx      context.Context
	from     *os.File
	size     int64
	to       *os.File // where it goes; nil for nowhere
	progress func(done, total int64)
	// forgo the digest if there is more than maxHoles in holes
	forgo bool

	written int64 // since the last look at the room for it
	holes   int64
	hash    hash.Hash // nil once it was forgone
	buf     []byte
}

// copyFile copies a file of so many bytes into an empty one. Holes stay holes, and
// where the file system can, both share what they have (FICLONE, ioctl_ficlone(2)).
// It returns the SHA-256 of what is in the copy, or with forgo, if the file has very
// large holes, no digest.
func copyFile(ctx context.Context, to, from *os.File, size int64, forgo bool, progress func(done, total int64)) (Digest, error) {
	r := &reader{ctx: ctx, from: from, size: size, to: to, forgo: forgo, progress: progress}
	if unix.IoctlFileClone(int(to.Fd()), int(from.Fd())) == nil {
		r.from, r.to = to, nil
		return r.run()
	}
	if err := fits(to, from); err != nil {
		return "", err
	}
	if err := to.Truncate(size); err != nil {
		return "", err
	}
	return r.run()
}

// fits makes sure, as far as that is known before, that there is room for a copy.
func fits(to, from *os.File) error {
	free, err := left(to)
	if err != nil {
		return err
	}
	info, err := from.Stat()
	if err == nil && allocated(info) > free {
		err = fmt.Errorf("%d MiB may be used for the image, and it has %d MiB: %w", free>>20, allocated(info)>>20, unix.ENOSPC)
	}
	return err
}

// hashFile returns the SHA-256 of a file of so many bytes.
func hashFile(ctx context.Context, f *os.File, size int64, progress func(done, total int64)) (Digest, error) {
	r := &reader{ctx: ctx, from: f, size: size, progress: progress}
	return r.run()
}

func (r *reader) run() (Digest, error) {
	r.hash, r.buf = sha256.New(), make([]byte, chunk)
	for at := int64(0); at < r.size; {
		data, end, err := extent(r.from, at, r.size)
		if err == nil {
			err = r.hole(at, data)
		}
		if err == nil {
			err = r.data(data, end)
		}
		if err != nil {
			return "", err
		}
		at = end
	}
	if r.hash == nil {
		return "", nil
	}
	return digestOf(r.hash), nil
}

// hole takes note of zeros.
func (r *reader) hole(at, end int64) error {
	if r.holes += end - at; r.forgo && r.holes > maxHoles {
		r.hash = nil
	}
	if r.hash == nil && at < end {
		return r.tell(end)
	}
	for at < end {
		n := min(end-at, chunk)
		_, _ = r.hash.Write(zeros[:n])
		at += n
		if err := r.tell(at); err != nil {
			return err
		}
	}
	return nil
}

// data takes note of what is there, and copies it.
func (r *reader) data(at, end int64) error {
	for at < end {
		part := r.buf[:min(end-at, chunk)]
		n, err := r.from.ReadAt(part, at)
		if n < len(part) {
			if err == nil || errors.Is(err, io.EOF) {
				return errShrunk
			}
			return &images.Error{Kind: images.ErrRead, Detail: "reading it failed", Err: err,
				Advice: "look at the host's kernel log for errors of its disk"}
		}
		if r.hash != nil {
			_, _ = r.hash.Write(part)
		}
		if r.to != nil {
			if _, err := r.to.WriteAt(part, at); err != nil {
				return err
			}
			if err := r.spare(n); err != nil {
				return err
			}
		}
		at += int64(n)
		if err := r.tell(at); err != nil {
			return err
		}
	}
	return nil
}

// spare sees to it now and then that what is written leaves room for others.
func (r *reader) spare(n int) error {
	if r.written += int64(n); r.written < room.Interval {
		return nil
	}
	r.written = 0
	_, err := left(r.to)
	return err
}

// left is how many bytes may still be written where a file lies. None is unix.ENOSPC.
func left(f *os.File) (int64, error) {
	free, spare, err := room.In(fmt.Sprintf("/proc/self/fd/%d", f.Fd()))
	if err == nil && free <= spare {
		err = fmt.Errorf("%d MiB are free for the image, and %d MiB to be spared for what else is there: %w", free>>20, spare>>20, unix.ENOSPC)
	}
	return free - spare, err
}

// errShrunk says that a file ends before it should.
var errShrunk = fmt.Errorf("it became shorter while it was read: %w", ErrChanged)

// tell reports how far it is, and whether to go on.
func (r *reader) tell(done int64) error {
	if r.progress != nil {
		r.progress(done, r.size)
	}
	return r.ctx.Err()
}

// extent finds the next bytes that are more than a hole, from a place on
// (SEEK_DATA and SEEK_HOLE, lseek(2)). A file system that knows none has data all
// over. A hole up to the end is an empty extent there.
func extent(f *os.File, at, size int64) (from, to int64, err error) {
	from, err = unix.Seek(int(f.Fd()), at, unix.SEEK_DATA)
	switch {
	case errors.Is(err, unix.ENXIO):
		return size, size, nil
	case err != nil, from < at:
		return at, size, nil
	}
	to, err = unix.Seek(int(f.Fd()), from, unix.SEEK_HOLE)
	if err != nil || to <= from {
		to = size
	}
	return min(from, size), min(to, size), nil
}
