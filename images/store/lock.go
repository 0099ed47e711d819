package store

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"golang.org/x/sys/unix"
)

// How long lock waits before it tries again, at first and at most, and after
// which time it gives up: somebody who has the lock was stopped.
const (
	lockPause    = 100 * time.Microsecond
	maxLockPause = 5 * time.Millisecond
	lockTime     = 60 * time.Second
)

// LockFile is the file whose lock (flock(2)) is held where names, blobs and their users
// change together.
func (s *Store) LockFile() string { return filepath.Join(s.dir, "lock") }

// lock takes the store's lock, which is held for milliseconds, and only where
// names, blobs and their users change together. The caller unlocks by closing what
// it returns.
func (s *Store) lock(ctx context.Context) (*os.File, error) {
	ctx, cancel := context.WithTimeoutCause(ctx, lockTime, ErrBusy)
	defer cancel()
	f, err := os.OpenFile(s.LockFile(), os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, err
	}
	for pause := lockPause; ; pause = min(2*pause, maxLockPause) {
		held, err := tryLock(f)
		if err == nil && !held {
			return f, nil
		}
		if err == nil {
			err = wait(ctx, pause)
		}
		if err != nil {
			_ = f.Close()
			return nil, fmt.Errorf("lock %s: %w", f.Name(), err)
		}
	}
}

// wait waits for a moment. It fails with the reason for which the context ends.
func wait(ctx context.Context, pause time.Duration) error {
	select {
	case <-time.After(pause):
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// tryLock takes the lock of an open file (flock(2)), or says that another has it.
// It lasts as long as the file is open, in whichever process.
func tryLock(f *os.File) (held bool, err error) {
	for {
		err = unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB)
		switch {
		case errors.Is(err, unix.EINTR):
		case errors.Is(err, unix.EWOULDBLOCK):
			return true, nil
		default:
			return false, err
		}
	}
}
