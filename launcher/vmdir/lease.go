package vmdir

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
)

// A lease says that a resource, such as an address, belongs to a VM. It is a
// symbolic link from the resource's name to the VM's: made in one system call
// that fails if the lease is taken, read in another.

// Lease gives the resource to the VM. Whoever calls it holds Root.Lock. It fails
// with fs.ErrExist if a VM that still exists has it; the lease of a VM that is no
// more is taken over.
func (r Root) Lease(resource, vm string) error {
	path := filepath.Join(r.leases(), resource)
	err := os.Symlink(vm, path)
	if !errors.Is(err, fs.ErrExist) {
		return err
	}
	switch r.Holder(resource) {
	case vm:
		return nil
	case "":
	default:
		return err
	}
	if err := os.Remove(path); err != nil {
		return err
	}
	return os.Symlink(vm, path)
}

// Holder is the VM that has the resource, or "" if none does. A lease whose
// VM has no folder any more counts for nothing, nor does a link that leads
// elsewhere.
func (r Root) Holder(resource string) string {
	vm, err := os.Readlink(filepath.Join(r.leases(), resource))
	if err != nil || strings.ContainsRune(vm, '/') || strings.HasPrefix(vm, ".") || !r.Dir(vm).Exists() {
		return ""
	}
	return vm
}

// Leased lists the resources whose names begin with the prefix, the prefix
// taken off. Stale leases are among them: ask Holder.
func (r Root) Leased(prefix string) (map[string]bool, error) {
	entries, err := os.ReadDir(r.leases())
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	found := make(map[string]bool, len(entries))
	for _, e := range entries {
		if rest, ok := strings.CutPrefix(e.Name(), prefix); ok {
			found[rest] = true
		}
	}
	return found, nil
}

// Release takes the resource back from the VM. A lease that another VM holds,
// or none, stays as it is.
func (r Root) Release(resource, vm string) error {
	path := filepath.Join(r.leases(), resource)
	if holder, err := os.Readlink(path); err != nil || holder != vm {
		return nil
	}
	return os.Remove(path)
}
