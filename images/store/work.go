package store

import (
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"
)

// work is the folder of one import under way. It is locked for as long as the
// import lives, and whoever finds it unlocked may remove it.
type work struct {
	path string
	dir  *os.File // open, and locked by this very descriptor
}

// workPrefix begins the names of such folders, of which there may be others'.
const workPrefix = "import-"

// newWork makes such a folder. The caller ends it.
func (s *Store) newWork() (*work, error) {
	for {
		w := &work{path: filepath.Join(s.partial(), workPrefix+rand.Text())}
		if err := os.Mkdir(w.path, 0o700); err != nil {
			return nil, err
		}
		mine, err := w.take()
		if mine || err != nil {
			return w, err
		}
		// Somebody who tidies up was quicker than the lock.
	}
}

// take locks the folder, unless another has done so or removed it.
func (w *work) take() (mine bool, err error) {
	w.dir, err = os.Open(w.path)
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	held, err := tryLock(w.dir)
	if err == nil && !held && w.there() {
		return true, nil
	}
	return false, errors.Join(err, w.dir.Close())
}

// there tells whether the folder still has its name.
func (w *work) there() bool {
	now, err := os.Lstat(w.path)
	if err != nil {
		return false
	}
	opened, err := w.dir.Stat()
	return err == nil && os.SameFile(now, opened)
}

// end removes the folder with all that is in it.
func (w *work) end() error { return errors.Join(os.RemoveAll(w.path), w.dir.Close()) }

// file is the path of a file in the folder.
func (w *work) file(name string) string { return filepath.Join(w.path, name) }

// create makes a file in the folder, open for reading and writing.
func (w *work) create(name string) (*os.File, error) {
	return os.OpenFile(w.file(name), os.O_RDWR|os.O_CREATE|os.O_EXCL, 0o600)
}

// give lets a user look into the folder and makes files in it his. He can make or
// remove none.
func (w *work) give(user uint32, files ...*os.File) error {
	if err := os.Chown(w.path, -1, int(user)); err != nil {
		return err
	}
	if err := os.Chmod(w.path, 0o710); err != nil {
		return err
	}
	for _, f := range files {
		if err := f.Chown(int(user), int(user)); err != nil {
			return err
		}
	}
	return nil
}

// reach is the folder as another process may be handed it: by a descriptor that is
// not the one with the lock, and good for nothing but to find files below it.
func (w *work) reach() (*os.File, error) { return reach(w.path) }

func reach(path string) (*os.File, error) {
	fd, err := unix.Open(path, unix.O_PATH|unix.O_CLOEXEC|unix.O_NOFOLLOW, 0)
	if err != nil {
		return nil, &os.PathError{Op: "open", Path: path, Err: err}
	}
	return os.NewFile(uintptr(fd), path), nil
}

// abandoned calls do with each folder whose import was killed, locked, and removes
// it if do says so.
func (s *Store) abandoned(do func(path string) (remove bool)) error {
	entries, err := os.ReadDir(s.partial())
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	errs := []error{err}
	for _, e := range entries {
		if !e.IsDir() || !strings.HasPrefix(e.Name(), workPrefix) {
			continue
		}
		w := &work{path: filepath.Join(s.partial(), e.Name())}
		mine, err := w.take()
		if err != nil {
			errs = append(errs, err)
		}
		if !mine {
			continue
		}
		if do(w.path) {
			err = w.end()
		} else {
			err = w.dir.Close()
		}
		if err != nil {
			errs = append(errs, fmt.Errorf("remove %s: %w", w.path, err))
		}
	}
	return errors.Join(errs...)
}
