package vmdir

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"

	"github.com/google/uuid"
	"golang.org/x/sys/unix"
)

// What begins with these is no VM: a folder that is not complete yet, and one
// that is being deleted. No VM's name begins with a dot.
const (
	newPrefix = ".new-"
	oldPrefix = ".old-"
)

// New is a folder that has no name yet, so that no other command sees a part
// of a VM. Its lock is taken.
type New struct {
	Dir  Dir
	Lock *os.File
}

// New makes a folder for a VM to be. Whoever calls it holds Root.Lock until the
// folder has been given its name or discarded, and so may delete what others
// have left half done.
func (r Root) New() (New, error) {
	r.sweep()
	name := newPrefix + uuid.NewString()
	n := New{Dir: r.Dir(name)}
	err := os.Mkdir(n.Dir.Path, 0o700)
	if err == nil {
		n.Lock, err = n.Dir.Supervise()
	}
	if err != nil {
		return New{}, errors.Join(err, os.RemoveAll(n.Dir.Path))
	}
	return n, nil
}

// Name makes the folder that of the VM with a name, in one step. It fails with
// fs.ErrExist if there is a VM of that name.
func (n *New) Name(r Root, name string) error {
	named := r.Dir(name)
	err := unix.Renameat2(unix.AT_FDCWD, n.Dir.Path, unix.AT_FDCWD, named.Path, unix.RENAME_NOREPLACE)
	if err != nil {
		return &os.LinkError{Op: "rename", Old: n.Dir.Path, New: named.Path, Err: err}
	}
	n.Dir = named
	return nil
}

// Discard deletes the folder and gives the lock back.
func (n *New) Discard() error { return errors.Join(n.Dir.Remove(), n.Lock.Close()) }

// sweep deletes the folders without a name that commands and supervisors left
// which were killed, and the leases of VMs that never came to be. What another
// is deleting at this moment may go together.
func (r Root) sweep() {
	folders, err := r.namelessFolders()
	if err != nil {
		return
	}
	for _, folder := range folders {
		if strings.HasPrefix(filepath.Base(folder), newPrefix) { // a start leases before it names
			removeAll(r.staleLeases())
		}
		_ = os.RemoveAll(folder)
	}
}

func removeAll(paths []string, err error) {
	if err != nil {
		return
	}
	for _, path := range paths {
		_ = os.RemoveAll(path)
	}
}

// Litter lists what belongs to no VM in the run directory: folders without a
// name, and leases without a holder. Whoever calls it holds Root.Lock, and may
// delete what is listed.
func (r Root) Litter() ([]string, error) {
	folders, err := r.namelessFolders()
	if err != nil {
		return nil, err
	}
	leases, err := r.staleLeases()
	return append(folders, leases...), err
}

func (r Root) namelessFolders() ([]string, error) {
	entries, err := os.ReadDir(r.vms())
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	var found []string
	for _, e := range entries {
		if nameless(e) {
			found = append(found, filepath.Join(r.vms(), e.Name()))
		}
	}
	return found, err
}

// leaseName is what leases are called. What else lies there is somebody else's.
var leaseName = regexp.MustCompile(`^(ip|uid|cid)-[0-9.]+$`)

func (r Root) staleLeases() ([]string, error) {
	entries, err := os.ReadDir(r.leases())
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	var found []string
	for _, e := range entries {
		if e.Type()&fs.ModeSymlink != 0 && leaseName.MatchString(e.Name()) && r.Holder(e.Name()) == "" {
			found = append(found, filepath.Join(r.leases(), e.Name()))
		}
	}
	return found, err
}

// nameless tells whether it is one of the folders that New and Remove make.
func nameless(e fs.DirEntry) bool {
	for _, prefix := range []string{newPrefix, oldPrefix} {
		if id, ok := strings.CutPrefix(e.Name(), prefix); ok && e.IsDir() && uuid.Validate(id) == nil {
			return true
		}
	}
	return false
}
