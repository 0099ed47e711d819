package netplumb

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"golang.org/x/sys/unix"
)

// holds is the journal of changes that several guests share. The first holder
// makes a change, the last one takes it back, and then only if things are still
// as kvmrun left them. What was already as wanted is not ours and is neither
// journalled nor restored.
//
// Its form on disk, for each resource under a lock that covers them all:
//
//	lock
//	RESOURCE/change         the value before and the value set, as JSON
//	RESOURCE/holders/NAME   one name for each holder
//
// A change is written down before it is made, so that whoever finds it after a
// crash can take it back; nothing is synced to disk, because the kernel forgets
// the change in the same crash that would lose it. Holding and letting go take
// the same time whatever the number of holders.
type holds struct{ dir string }

// resource is something of the host's with a value that guests share.
type resource interface {
	fmt.Stringer
	// key names the resource in the journal; safe as a file name.
	key() string
	// want is the value that a guest needs, satisfied whether another serves
	// as well.
	want() string
	satisfied(have string) bool
	// read and write work on the host. Errors are such that gone reports true
	// if what has the value is no more.
	read() (string, error)
	write(value string) error
	// governor is the value of a wider setting that overwrites this one when
	// it is changed; "" if there is none.
	governor() (string, error)
	// bind ties the resource to a host before all of the above.
	bind(h *Host) resource
	shell() Commands
}

// change is what a resource was, what kvmrun made of it, and the governor's
// value at that time.
type change struct {
	Old      string `json:"old"`
	Set      string `json:"set"`
	Governor string `json:"governor,omitempty"`
}

// acquire makes sure that a resource has a value that serves, on behalf of a
// holder. Calling it again is harmless.
func (j holds) acquire(r resource, holder string) error {
	return j.locked(func() error {
		have, err := r.read()
		if err != nil {
			return uplinkGone(err)
		}
		recorded, err := j.made(r.key())
		switch {
		case err != nil:
			return err
		case r.satisfied(have) && !recorded:
			return nil
		case r.satisfied(have):
			return j.add(r.key(), holder)
		}
		// Not as wanted: nobody has changed it yet, or somebody changed it
		// back, in which case theirs is the value to restore one day.
		c := change{Old: have, Set: r.want()}
		if c.Governor, err = r.governor(); err != nil {
			return err
		}
		if err := j.add(r.key(), holder); err != nil {
			return err
		}
		if err := j.save(r.key(), c); err != nil {
			return err
		}
		if err := r.write(c.Set); err != nil {
			return err
		}
		return j.confirm(r, c)
	})
}

// confirm records what the kernel made of a value. Very old ones drop ownership
// marks, and without them ours would look like a stranger's.
func (j holds) confirm(r resource, c change) error {
	have, err := r.read()
	if err != nil || have == c.Set {
		return err
	}
	c.Set = have
	return j.save(r.key(), c)
}

// release ends a hold. With the last one the old value returns. It may be
// called without a hold, and again after a failure. An empty holder finishes
// what was cut short after the last hold had ended.
func (j holds) release(r resource, holder string) error {
	return j.locked(func() error {
		if err := j.remove(r.key(), holder); err != nil {
			return err
		}
		// The folder of holders can be removed only when it is empty: that is
		// the question and the answer in one.
		err := unix.Rmdir(filepath.Join(j.dir, r.key(), holdersDir))
		if errors.Is(err, unix.ENOTEMPTY) || errors.Is(err, unix.EEXIST) {
			return nil
		}
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("write journal: remove holders of %s: %w", r.key(), err)
		}
		c, recorded, err := j.load(r.key())
		if err != nil {
			return err
		}
		if !recorded { // a disk that filled up, and nothing was changed
			return os.RemoveAll(filepath.Join(j.dir, r.key()))
		}
		if err := restore(r, c); err != nil {
			return err
		}
		return os.RemoveAll(filepath.Join(j.dir, r.key()))
	})
}

// restore puts the old value back unless somebody else has changed it since, by
// itself or by its governor: then a value that looks like ours is theirs.
func restore(r resource, c change) error {
	have, err := r.read()
	if err == nil && have == c.Set {
		var governor string
		governor, err = r.governor()
		if err == nil && governor == c.Governor {
			err = r.write(c.Old)
		}
	}
	if gone(err) {
		return nil
	}
	return err
}

// has tells whether the change is recorded with this holder. That needs no lock: as
// long as it has a holder nobody takes the change back.
func (j holds) has(key, holder string) bool {
	recorded, err := j.made(key)
	if err != nil || !recorded {
		return false
	}
	_, err = os.Lstat(filepath.Join(j.dir, key, holdersDir, holder))
	return err == nil
}

// made reports whether a resource is as it is by kvmrun's doing.
func (j holds) made(key string) (bool, error) {
	path := filepath.Join(j.dir, key, changeFile)
	_, err := os.Lstat(path)
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	return err == nil, err
}

const (
	changeFile = "change"
	holdersDir = "holders"
	lockFile   = "lock"
)

func (j holds) load(key string) (c change, recorded bool, err error) {
	path := filepath.Join(j.dir, key, changeFile)
	text, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return c, false, nil
	}
	if err == nil {
		err = json.Unmarshal(text, &c)
	}
	if err != nil {
		return c, false, fmt.Errorf("read journal %s: %w", path, err)
	}
	return c, true, nil
}

// save replaces the record in one step.
func (j holds) save(key string, c change) error {
	text, err := json.Marshal(c)
	if err != nil {
		return err
	}
	path := filepath.Join(j.dir, key, changeFile)
	if err := os.WriteFile(path+".new", text, 0o600); err != nil {
		return fmt.Errorf("write journal: %w", err)
	}
	if err := os.Rename(path+".new", path); err != nil {
		return fmt.Errorf("write journal: %w", err)
	}
	return nil
}

func (j holds) add(key, holder string) error {
	dir := filepath.Join(j.dir, key, holdersDir)
	// A further name of the lock file, because a file system makes a name
	// much sooner than a file.
	link := func() error { return os.Link(filepath.Join(j.dir, lockFile), filepath.Join(dir, holder)) }
	err := link()
	if errors.Is(err, fs.ErrNotExist) {
		if err = os.MkdirAll(dir, 0o700); err == nil {
			err = link()
		}
	}
	if err != nil && !errors.Is(err, fs.ErrExist) {
		return fmt.Errorf("write journal: %w", err)
	}
	return nil
}

func (j holds) remove(key, holder string) error {
	if holder == "" {
		return nil
	}
	err := unix.Unlink(filepath.Join(j.dir, key, holdersDir, holder))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("write journal: remove %s from %s: %w", holder, key, err)
	}
	return nil
}

// locked runs a short critical section, or fails if it cannot have the lock within
// lockTime. Each call opens the lock anew, because flock excludes open files, not
// processes: goroutines exclude one another too.
func (j holds) locked(section func() error) error {
	path := filepath.Join(j.dir, lockFile)
	fd, err := unix.Open(path, unix.O_RDWR|unix.O_CREAT|unix.O_CLOEXEC, 0o600)
	if errors.Is(err, unix.ENOENT) {
		// The folder went while guests were running, perhaps with its tmpfs.
		if err = os.MkdirAll(j.dir, 0o700); err == nil {
			fd, err = unix.Open(path, unix.O_RDWR|unix.O_CREAT|unix.O_CLOEXEC, 0o600)
		}
	}
	if err != nil {
		return fmt.Errorf("open lock %s: %w", path, err)
	}
	defer func() { _ = unix.Close(fd) }()
	if err := lock(fd); err != nil {
		return fmt.Errorf("lock %s: %w", path, err)
	}
	return section()
}

// lockTime is how long the lock is waited for. It is held for milliseconds, unless
// whoever has it was stopped meanwhile: nobody is to stand still with him.
const lockTime = 5 * time.Second

// lockPause is the pause before the lock is tried for again, at first and at most.
const (
	lockPause    = 100 * time.Microsecond
	maxLockPause = 5 * time.Millisecond
)

// errHeld is for a person to act on; whatever was to be done can be tried again.
var errHeld = fmt.Errorf("others have it, for %v by now; one of them may be stopped (lslocks names it)", lockTime)

func lock(fd int) error {
	began := time.Now()
	for pause := lockPause; ; pause = min(2*pause, maxLockPause) {
		err := unix.Flock(fd, unix.LOCK_EX|unix.LOCK_NB)
		switch {
		case err == nil:
			return nil
		case !errors.Is(err, unix.EWOULDBLOCK) && !errors.Is(err, unix.EINTR):
			return err
		case time.Since(began) >= lockTime:
			return errHeld
		}
		time.Sleep(pause)
	}
}
