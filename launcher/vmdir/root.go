// Package vmdir is kvmrun's memory on disk: one folder for each VM below the
// run directory, and the leases that keep two VMs from taking the same
// address or user ID. What it holds can be read by any kvmrun command at any
// time: files are replaced atomically, and whether a VM is supervised is a
// lock in the kernel, not a number in a file.
package vmdir

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// DefaultRun is the run directory unless another is named. It should be in
// memory: what is in it means nothing after a reboot.
const DefaultRun = "/run/kvmrun"

// Root is the run directory.
type Root struct{ Path string }

// Open makes the run directory if need be and returns it.
func Open(path string) (Root, error) {
	abs, err := filepath.Abs(path)
	if err != nil {
		return Root{}, err
	}
	r := Root{Path: abs}
	for _, dir := range []string{r.vms(), r.leases(), r.Net()} {
		if err := os.MkdirAll(dir, 0o711); err != nil {
			return Root{}, fmt.Errorf("run directory: %w", err)
		}
	}
	return r, nil
}

// At names a run directory without making it, for commands that only read.
func At(path string) (Root, error) {
	abs, err := filepath.Abs(path)
	return Root{Path: abs}, err
}

func (r Root) vms() string    { return filepath.Join(r.Path, "vms") }
func (r Root) leases() string { return filepath.Join(r.Path, "leases") }

// Net is where the changes to the host's network that several VMs share are
// written down.
func (r Root) Net() string { return filepath.Join(r.Path, "net") }

// Dir is the folder of the VM with the given name, whether it exists or not.
func (r Root) Dir(name string) Dir {
	return Dir{Name: name, Path: filepath.Join(r.vms(), name)}
}

// Names lists the VMs that have a folder, in order.
func (r Root) Names() ([]string, error) {
	entries, err := os.ReadDir(r.vms())
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	names := make([]string, 0, len(entries))
	for _, e := range entries {
		if e.IsDir() && !strings.HasPrefix(e.Name(), ".") { // no VM's name begins so
			names = append(names, e.Name())
		}
	}
	return names, nil
}

// Changed is when a VM last got or lost its folder, as far as the file system's clock
// tells; zero if that is not known.
func (r Root) Changed() time.Time {
	info, err := os.Stat(r.vms())
	if err != nil {
		return time.Time{}
	}
	return info.ModTime()
}

// lockPause is how long Lock waits before it tries again, at first and at most.
const (
	lockPause    = 100 * time.Microsecond
	maxLockPause = 5 * time.Millisecond
)

// Lock takes the run directory's own lock, which makes choosing a name, an
// address and a user ID one step. It is held for milliseconds only; if somebody
// who has it is stopped meanwhile, Lock gives up when ctx ends. The caller
// unlocks by closing what it returns.
func (r Root) Lock(ctx context.Context) (*os.File, error) {
	f, err := os.OpenFile(filepath.Join(r.Path, "lock"), os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, err
	}
	for pause := lockPause; ; pause = min(2*pause, maxLockPause) {
		err = unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB)
		switch {
		case err == nil:
			return f, nil
		case errors.Is(err, unix.EINTR):
			continue
		case !errors.Is(err, unix.EWOULDBLOCK):
			_ = f.Close()
			return nil, fmt.Errorf("lock %s: %w", f.Name(), err)
		}
		select {
		case <-time.After(pause):
		case <-ctx.Done():
			_ = f.Close()
			return nil, fmt.Errorf("lock %s, which another start holds: %w", f.Name(), ctx.Err())
		}
	}
}
