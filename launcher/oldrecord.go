package launcher

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"time"

	"kvmrun/launcher/vmdir"
)

// recordPatience is how long to wait for a supervisor which has written that
// its VM failed to let go of the record.
const recordPatience = 5 * time.Second

// removeRecord removes the record of a VM that failed. With its lock held nobody
// else does, and its name cannot become another's meanwhile. That of another
// start than a given one is left, and so is a folder that says nothing of a VM.
func (l *Launcher) removeRecord(ctx context.Context, dir vmdir.Dir, run string) error {
	lock, err := claim(ctx, dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	defer func() { _ = lock.Close() }()
	was, err := l.look(dir)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil
	case err != nil:
		return err
	case was.State != Failed, run != "" && was.Run != run:
		return nil
	}
	return Release(l.root, &was.Spec)
}

// claim takes the lock of a VM whose supervisor is about to end.
func claim(ctx context.Context, dir vmdir.Dir) (*os.File, error) {
	ctx, cancel := context.WithTimeout(ctx, recordPatience)
	defer cancel()
	for {
		lock, err := dir.Supervise()
		if !errors.Is(err, vmdir.ErrSupervised) {
			return lock, err
		}
		if Sleep(ctx, lookAgain) != nil {
			return nil, fail(KindExists, "try again", "the supervisor of VM %s is still there", dir.Name)
		}
	}
}
