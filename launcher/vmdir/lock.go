package vmdir

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"

	"golang.org/x/sys/unix"
)

// ErrSupervised says that a VM's supervisor is alive.
var ErrSupervised = errors.New("another supervisor has this VM")

// Supervise takes the VM's lock for as long as the returned file is open. The
// kernel drops it when the process ends, however it ends. The lock is an open
// file description lock (fcntl(2)), which can be looked at without taking it.
// It fails with ErrSupervised if another process has it, and with
// fs.ErrNotExist if there is no such VM, or no longer the one whose lock it is.
func (d Dir) Supervise() (*os.File, error) {
	f, err := os.OpenFile(d.File(lockFile), os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, err
	}
	lock := whole(unix.F_WRLCK)
	err = unix.FcntlFlock(f.Fd(), unix.F_OFD_SETLK, &lock)
	if err == nil {
		if err = d.Has(f); err == nil {
			return f, nil
		}
		_ = f.Close()
		return nil, err
	}
	_ = f.Close()
	if errors.Is(err, unix.EAGAIN) || errors.Is(err, unix.EACCES) {
		return nil, ErrSupervised
	}
	return nil, fmt.Errorf("lock %s: %w", f.Name(), err)
}

// Supervised reports whether a supervisor holds the VM's lock.
func (d Dir) Supervised() (bool, error) {
	f, err := os.OpenFile(d.File(lockFile), os.O_RDWR, 0)
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	defer func() { _ = f.Close() }()
	lock := whole(unix.F_WRLCK)
	if err := unix.FcntlFlock(f.Fd(), unix.F_OFD_GETLK, &lock); err != nil {
		return false, err
	}
	return lock.Type != unix.F_UNLCK, nil
}

// Has makes sure that an open lock is that of the folder which has the name now.
// The VM may have gone and a new one come, or the whole run directory vanished.
// It fails with fs.ErrNotExist then.
func (d Dir) Has(lock *os.File) error {
	locked, err := lock.Stat()
	if err != nil {
		return err
	}
	now, err := os.Lstat(d.File(lockFile))
	if err != nil {
		return err
	}
	if !os.SameFile(locked, now) {
		return fmt.Errorf("%s is another VM's by now: %w", d.Path, fs.ErrNotExist)
	}
	return nil
}

// whole is a lock over a whole file.
func whole(kind int16) unix.Flock_t {
	return unix.Flock_t{Type: kind, Whence: io.SeekStart}
}
