// Package disks keeps the disks that outlast their VMs: overlays on images of the store,
// one folder for each name of a VM in the data directory.
//
// A folder has a record of what each of its disks began with, which is on the host's
// disk before there is an overlay: whoever asks which images are needed goes by it. What
// cannot be read may need anything, and is an error.
//
// A folder's lock (flock(2), on the folder itself) is held by whoever makes, uses or
// removes a disk in it, and by the VM's QEMU, which inherits it: the kernel gives it
// back when the last of them has ended, however that went. Everybody looks only after
// the lock has been taken.
package disks

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"time"

	"github.com/google/uuid"
	"golang.org/x/sys/unix"
)

// Root is the folder of all disks.
type Root struct{ path string }

// At names the disks of a data directory. Nothing is made.
func At(data string) Root { return Root{filepath.Join(data, "disks")} }

// Folder is where a VM's disks lie.
func (r Root) Folder(vm string) string { return filepath.Join(r.path, vm) }

// File is where a VM's disk of a number lies.
func (r Root) File(vm string, number int) string {
	return filepath.Join(r.Folder(vm), fmt.Sprintf("disk%d.qcow2", number))
}

// validName is what a VM may be called. Folders of other names are somebody else's.
var validName = regexp.MustCompile(`^[a-zA-Z0-9][a-zA-Z0-9._-]*$`)

// Names lists what may have disks, in order: a symbolic link is among them, which Open
// refuses.
func (r Root) Names() ([]string, error) {
	entries, err := os.ReadDir(r.path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	var names []string
	for _, e := range entries {
		if (e.IsDir() || e.Type()&fs.ModeSymlink != 0) && validName.MatchString(e.Name()) {
			names = append(names, e.Name())
		}
	}
	return names, err
}

// ErrStrange says that what lies in a folder's place is none of this package's.
var ErrStrange = errors.New("not a folder of kvmrun's")

// ErrBusy says that another process has a folder's lock.
var ErrBusy = errors.New("the disks are in use")

// errMoved says that a folder was removed, or another has its name, before the lock was
// taken.
var errMoved = errors.New("the folder has moved")

// open opens a VM's folder, and nothing that only leads to one.
func (r Root) open(vm string) (*os.File, error) {
	path := r.Folder(vm)
	fd, err := unix.Open(path, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
	if errors.Is(err, unix.ENOTDIR) || errors.Is(err, unix.ELOOP) {
		if info, failed := os.Lstat(path); failed == nil && !info.IsDir() {
			return nil, fmt.Errorf("%s is no directory: %w", path, ErrStrange)
		}
	}
	if err != nil {
		return nil, &os.PathError{Op: "open", Path: path, Err: err}
	}
	f := os.NewFile(uintptr(fd), path)
	if err := ours(f); err != nil {
		_ = f.Close()
		return nil, err
	}
	return f, nil
}

// ours makes sure that nobody else may put files into a folder.
func ours(f *os.File) error {
	info, err := f.Stat()
	if err != nil {
		return err
	}
	stat, ok := info.Sys().(*syscall.Stat_t)
	if !ok || int(stat.Uid) != os.Geteuid() || info.Mode().Perm()&0o022 != 0 {
		return fmt.Errorf("others than its owner may write to %s: %w", f.Name(), ErrStrange)
	}
	return nil
}

// lockPause is how long Lock waits before it tries again, at first and at most.
const (
	lockPause    = 100 * time.Microsecond
	maxLockPause = 5 * time.Millisecond
)

// Lock takes the lock of a VM's folder. It fails with fs.ErrNotExist if there is none,
// and with ErrBusy if another has not given the lock back when ctx ends. The caller
// closes the folder.
func (r Root) Lock(ctx context.Context, vm string) (*Folder, error) {
	for pause := lockPause; ; pause = min(2*pause, maxLockPause) {
		f, err := r.try(vm)
		if !errors.Is(err, ErrBusy) && !errors.Is(err, errMoved) {
			return f, err
		}
		select {
		case <-time.After(pause):
		case <-ctx.Done():
			return nil, fmt.Errorf("%s: %w", r.Folder(vm), ErrBusy)
		}
	}
}

// Make is Lock that makes the folder if there is none.
func (r Root) Make(ctx context.Context, vm string) (*Folder, error) {
	for {
		if err := r.make(); err != nil {
			return nil, err
		}
		err := os.Mkdir(r.Folder(vm), 0o700)
		if err == nil {
			err = sync(r.path)
		}
		if err != nil && !errors.Is(err, fs.ErrExist) {
			return nil, err
		}
		f, err := r.Lock(ctx, vm)
		if !errors.Is(err, fs.ErrNotExist) {
			return f, err
		}
	}
}

// make makes the folder of all disks, which is on the host's disk then.
func (r Root) make() error {
	if _, err := os.Stat(r.path); err == nil {
		return nil
	}
	if err := os.MkdirAll(r.path, 0o700); err != nil {
		return err
	}
	return sync(filepath.Dir(r.path))
}

// try takes the lock, or fails with ErrBusy.
func (r Root) try(vm string) (*Folder, error) {
	dir, err := r.open(vm)
	if err != nil {
		return nil, err
	}
	if err := flock(dir); err != nil {
		_ = dir.Close()
		return nil, err
	}
	return r.Inherit(vm, dir)
}

// flock takes the lock of an open file, or fails with ErrBusy.
func flock(f *os.File) error {
	for {
		err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB)
		switch {
		case errors.Is(err, unix.EINTR):
		case errors.Is(err, unix.EWOULDBLOCK):
			return ErrBusy
		case err != nil:
			return fmt.Errorf("lock %s: %w", f.Name(), err)
		default:
			return nil
		}
	}
}

// Inherit is a folder whose lock comes with the open file, which then belongs to it.
func (r Root) Inherit(vm string, dir *os.File) (*Folder, error) {
	f := &Folder{root: r, vm: vm, dir: dir}
	if err := f.there(); err != nil {
		_ = dir.Close()
		return nil, err
	}
	return f, nil
}

// oldPrefix begins the names of folders that are being deleted. No VM's name begins so.
const oldPrefix = ".old-"

// sync forces what was done in a folder to the disk.
func sync(dir string) error {
	f, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(f.Sync(), f.Close())
}

// Sweep removes the folders whose deletion was cut short, or with dryRun lists them.
func (r Root) Sweep(dryRun bool) ([]string, error) {
	entries, err := os.ReadDir(r.path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	errs := []error{err}
	var found []string
	for _, e := range entries {
		id, ok := strings.CutPrefix(e.Name(), oldPrefix)
		if !ok || uuid.Validate(id) != nil || !e.IsDir() {
			continue
		}
		path := filepath.Join(r.path, e.Name())
		if !dryRun {
			err := os.RemoveAll(path)
			if err != nil {
				errs = append(errs, err)
				continue
			}
		}
		found = append(found, path)
	}
	return found, errors.Join(errs...)
}
