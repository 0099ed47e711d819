// Package firmware finds the UEFI firmware that a host has, by the descriptions that
// come with it (QEMU: docs/interop/firmware.json).
package firmware

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// Dirs are where descriptions lie: the administrator's, then those of packages. One of
// the first hides one of the same name behind it; an empty one only hides.
var Dirs = []string{"/etc/qemu/firmware", "/usr/share/qemu/firmware"}

// ErrNone says that no description fits.
var ErrNone = errors.New("no description of a fitting UEFI firmware")

// File is one of a firmware's files.
type File struct {
	Path   string `json:"path"`
	Format string `json:"format"` // raw or qcow2
}

// UEFI is a firmware in two flash memories.
type UEFI struct {
	Code     File `json:"code"`          // what is executed; only read
	Template File `json:"template"`      // the variables that a new machine begins with
	SMM      bool `json:"smm,omitempty"` // it guards its variables by system management mode
}

// Want is what a firmware is to be for.
type Want struct {
	Machine string // as -machine calls it: q35 or pc
	// Secure asks for Secure Boot with keys enrolled. Without it, firmware that could
	// do that is left out, too.
	Secure bool
}

// Find is the first firmware that fits, in the order of the descriptions' names. A
// description that cannot be read is passed over. It fails with ErrNone, and what was
// passed over, if none is left.
func Find(dirs []string, want Want) (UEFI, error) {
	paths, err := descriptions(dirs)
	if err != nil {
		return UEFI{}, err
	}
	failures := []error{ErrNone}
	for _, path := range paths {
		d, err := read(path)
		if err != nil {
			failures = append(failures, err)
			continue
		}
		if !d.fits(want) {
			continue
		}
		found := UEFI{Code: d.Mapping.Executable.file(), Template: d.Mapping.Template.file(), SMM: d.has("requires-smm")}
		if err := errors.Join(found.Code.check(), found.Template.check()); err != nil {
			failures = append(failures, err)
			continue
		}
		return found, nil
	}
	return UEFI{}, errors.Join(failures...)
}

// descriptions are the paths of all descriptions, by their names. A folder that is not
// there has none.
func descriptions(dirs []string) ([]string, error) {
	seen := make(map[string]bool)
	var paths []string
	for _, dir := range dirs {
		entries, err := os.ReadDir(dir)
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return nil, err
		}
		for _, e := range entries {
			if name := e.Name(); strings.HasSuffix(name, ".json") && !seen[name] {
				seen[name] = true
				paths = append(paths, filepath.Join(dir, name))
			}
		}
	}
	slices.SortFunc(paths, func(a, b string) int { return strings.Compare(filepath.Base(a), filepath.Base(b)) })
	return paths, nil
}

// check makes sure that the file is there.
func (f File) check() error {
	info, err := os.Stat(f.Path)
	if err == nil && !info.Mode().IsRegular() {
		err = &fs.PathError{Op: "stat", Path: f.Path, Err: errors.New("not a regular file")}
	}
	return err
}
