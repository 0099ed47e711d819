package launcher

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"time"

	"kvmrun/launcher/vmdir"
)

// adopt puts a supervisor on a VM that has none. If QEMU is gone, the
// supervisor's first act is to clean up, and adopt returns after that.
func (l *Launcher) adopt(ctx context.Context, dir vmdir.Dir) error {
	lock, err := dir.Supervise()
	if errors.Is(err, vmdir.ErrSupervised) || errors.Is(err, fs.ErrNotExist) {
		return nil // somebody else was quicker
	}
	if err != nil {
		return err
	}
	supervisor, err := l.hire()
	if err != nil {
		return errors.Join(err, lock.Close())
	}
	defer supervisor.close()
	order := Order{Mode: ModeAdopt, RunDir: l.root.Path, DataDir: l.data, Name: dir.Name}
	if err := supervisor.order(order, lock); err != nil {
		return fmt.Errorf("adopt %s: %w", dir.Name, err)
	}
	err = supervisor.await(ctx, dir)
	if errors.Is(err, errLost) {
		return nil // it was killed: the VM is as it was
	}
	return err
}

// recordPatience is how long to wait for a supervisor which has written that
// its VM failed to let go of the record.
const recordPatience = 5 * time.Second

// removeRecord removes the record of a VM that failed, or a folder that says
// nothing of a VM. With its lock held nobody else does, and its name cannot
// become another's meanwhile. One with another UUID than a given one is left.
func (l *Launcher) removeRecord(ctx context.Context, dir vmdir.Dir, uuid string) error {
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
		return dir.Remove()
	case err != nil:
		return err
	case was.State != Failed, uuid != "" && was.UUID != uuid:
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
		if sleep(ctx, lookAgain) != nil {
			return nil, fail(KindExists, "try again", "VM %s has failed, but its supervisor is still there", dir.Name)
		}
	}
}

// lookAgain is the pause before a fact is looked at again that the kernel tells
// nobody about, such as a lock's being free.
const lookAgain = 2 * time.Millisecond

// sleep returns the context's error if that ends first.
func sleep(ctx context.Context, d time.Duration) error {
	select {
	case <-time.After(d):
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
