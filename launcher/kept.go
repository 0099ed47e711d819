package launcher

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"kvmrun/images"
	"kvmrun/images/store"
)

// keptNames are the names that have disks in the data directory, in order.
func (l *Launcher) keptNames() ([]string, error) {
	entries, err := os.ReadDir(l.disksDir())
	var names []string
	for _, e := range entries {
		if e.IsDir() && CheckName(e.Name()) == nil && len(l.keptFiles(e.Name())) > 0 {
			names = append(names, e.Name())
		}
	}
	return names, ignoreGone(err)
}

// keptFiles are the overlays that a name has, in order.
func (l *Launcher) keptFiles(vm string) []string {
	entries, err := os.ReadDir(filepath.Join(l.disksDir(), vm))
	if err != nil {
		return nil
	}
	var files []string
	for _, e := range entries {
		if ok, _ := filepath.Match("disk*.qcow2", e.Name()); ok && e.Type().IsRegular() {
			files = append(files, filepath.Join(l.disksDir(), vm, e.Name()))
		}
	}
	return files
}

// keptUses lists which images the disks of stopped VMs need: of all but those that are
// named.
func (l *Launcher) keptUses(but map[string]bool) []store.Use {
	names, err := l.keptNames()
	if err != nil {
		return nil
	}
	blobs := l.imageStore()
	var found []store.Use
	for _, name := range names {
		if but[name] {
			continue
		}
		for _, file := range l.keptFiles(name) {
			info, err := images.Inspect(file, images.QCOW2)
			if err != nil {
				continue
			}
			if digest, ok := blobs.DigestOf(info.BackingFile); ok {
				found = append(found, store.Use{Digest: digest, By: "the disk of VM " + name})
			}
		}
	}
	return found
}

// stopped are the VMs of which nothing but disks is left.
func (l *Launcher) stopped(but []string) ([]VM, error) {
	names, err := l.keptNames()
	var found []VM
	for _, name := range names {
		if !slices.Contains(but, name) {
			found = append(found, VM{Name: name, State: Stopped, Image: l.keptFiles(name)[0]})
		}
	}
	return found, err
}

// hold makes sure that no VM of the name runs, here or elsewhere, and that none starts
// with its disks until release is called.
func (l *Launcher) hold(name string) (release func(), err error) {
	if err := CheckName(name); err != nil {
		return nil, err
	}
	vm, err := l.look(l.root.Dir(name))
	if err == nil && vm.State != Failed {
		return nil, fail(KindExists, "stop it first", "VM %s is there (%s)", name, vm.State)
	}
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	files := l.keptFiles(name)
	if len(files) == 0 {
		if vm.State == Failed {
			return func() {}, nil
		}
		return nil, noSuchVM(name)
	}
	lock, err := lockFolder(filepath.Join(l.disksDir(), name))
	if err != nil {
		return nil, err
	}
	for _, file := range files {
		if err := l.unused(file); err != nil {
			_ = lock.Close()
			return nil, err
		}
	}
	return func() { _ = lock.Close() }, nil
}

// unused makes sure that no QEMU has an overlay open.
func (l *Launcher) unused(file string) error {
	chain, err := openChain(l.data, file, images.Options{Format: images.QCOW2})
	if errors.Is(err, images.ErrBacking) {
		return nil // nothing can be done with it any more
	}
	if err != nil {
		return err
	}
	return errors.Join(chain.CheckUnused(), chain.Close())
}

// RemoveVMs removes what outlasts VMs that do not run: their disks, and the records of
// those that failed. It goes on where one cannot be removed; the error joins all that
// failed.
func (l *Launcher) RemoveVMs(ctx context.Context, names []string) error {
	return sideBySide(names, func(name string) error {
		return during("remove "+printableName(name), l.removeVM(ctx, name))
	})
}

func (l *Launcher) removeVM(ctx context.Context, name string) error {
	if err := requireRoot("rm"); err != nil {
		return err
	}
	release, err := l.hold(name)
	if err != nil {
		return err
	}
	defer release()
	errs := []error{l.clearName(ctx, name)}
	for _, file := range l.keptFiles(name) {
		errs = append(errs, ignoreGone(os.Remove(file)))
	}
	_ = os.Remove(filepath.Join(l.disksDir(), name)) // it stays if there is anything else in it
	return errors.Join(errs...)
}

// Commit makes an image of the first disk of a VM that does not run. The disk stays as
// it is.
func (l *Launcher) Commit(ctx context.Context, vm string, r store.Request) (store.Image, error) {
	i, err := l.commit(ctx, vm, r)
	return i, imageFailed("commit "+printableName(vm), err)
}

func (l *Launcher) commit(ctx context.Context, vm string, r store.Request) (store.Image, error) {
	if err := CheckImageName(r.Name); err != nil {
		return store.Image{}, err
	}
	release, err := l.hold(vm)
	if err != nil {
		return store.Image{}, err
	}
	defer release()
	r.Path = l.keptDisk(vm, 0)
	r.Format, r.AllowBacking = images.QCOW2, true
	i, _, err := l.imageStore().Import(ctx, r)
	return i, err
}

// sweepDisks removes overlays that were made for VMs which never came to be: nothing was
// written to them, and nobody uses them.
func (l *Launcher) sweepDisks(dryRun bool) ([]Leftover, error) {
	names, err := l.keptNames()
	errs := []error{err}
	var found []Leftover
	for _, name := range names {
		if l.root.Dir(name).Exists() {
			continue
		}
		release, err := l.hold(name)
		if err != nil {
			continue // somebody uses it, or is about to
		}
		for _, file := range l.keptFiles(name) {
			info, err := images.Inspect(file, images.QCOW2)
			if err != nil || !info.Blank {
				continue
			}
			one, err := attempt(dryRun, strings.TrimPrefix(file, l.data+"/"), ActionRemove, func() error { return ignoreGone(os.Remove(file)) })
			found, errs = append(found, one), append(errs, err)
		}
		if !dryRun {
			_ = os.Remove(filepath.Join(l.disksDir(), name))
		}
		release()
	}
	return found, errors.Join(errs...)
}
