package launcher

import (
	"context"
	"errors"
	"io/fs"
	"math/rand/v2"
	"path/filepath"
	"slices"

	"kvmrun/images"
	"kvmrun/images/store"
)

// imageStore is the store of images in the data directory.
func (l *Launcher) imageStore() *store.Store {
	return store.New(filepath.Join(l.data, "images"), store.Options{
		User: func() (uint32, error) { return l.freeUser(rand.Uint32()) },
		Uses: l.imageUses,
	})
}

// Images lists the images in the order of their names. With an error it has those
// that could be read.
func (l *Launcher) Images() ([]store.Image, error) {
	list, err := l.imageStore().List()
	return list, imageFailed("list images", err)
}

// ImageNames are the images' names alone, in order.
func (l *Launcher) ImageNames() ([]string, error) {
	names, err := l.imageStore().Names()
	return names, imageFailed("list images", err)
}

// InspectImage returns one image.
func (l *Launcher) InspectImage(name string) (i store.Image, err error) {
	if err = CheckImageName(name); err == nil {
		i, err = l.imageStore().Get(name)
	}
	return i, imageFailed("inspect image "+printableName(name), err)
}

// ImagePath is the file that an image lies in, which may be read.
func (l *Launcher) ImagePath(name string) (path string, err error) {
	if err = CheckImageName(name); err == nil {
		path, err = l.imageStore().Path(name)
	}
	return path, imageFailed("path of image "+printableName(name), err)
}

// RemoveImages removes the images of these names. It goes on where one cannot be
// removed; the error joins all that failed.
func (l *Launcher) RemoveImages(ctx context.Context, names []string) error {
	var errs []error
	for _, name := range names {
		err := CheckImageName(name)
		if err == nil {
			err = l.imageStore().Remove(ctx, name)
		}
		errs = append(errs, imageFailed("remove image "+printableName(name), err))
	}
	return errors.Join(errs...)
}

// VerifyImages reads images from end to end, all of them if none is named.
func (l *Launcher) VerifyImages(ctx context.Context, names []string, progress func(name string, done, total int64)) ([]store.Verdict, error) {
	for _, name := range names {
		if err := CheckImageName(name); err != nil {
			return nil, imageFailed("verify image "+printableName(name), err)
		}
	}
	found, err := l.imageStore().Verify(ctx, names, progress)
	return found, imageFailed("verify images", err)
}

// PruneImages removes what nobody needs from the store, or lists it, and what
// interrupted downloads have left.
func (l *Launcher) PruneImages(ctx context.Context, dryRun bool) ([]store.Litter, error) {
	downloads, err := l.pruneDownloads(dryRun)
	found, err2 := l.imageStore().Prune(ctx, dryRun)
	return append(found, downloads...), imageFailed("prune images", errors.Join(err, err2))
}

// imageFailed says what was attempted when err happened.
func imageFailed(op string, err error) error {
	if errors.Is(err, store.ErrBusy) {
		err = storeBusy(err)
	}
	return during(op, err)
}

// storeBusy says what to do about a store whose lock is not to be had.
func storeBusy(err error) error {
	return fail(KindTimeout, "if a kvmrun was stopped by a signal, let it go on or end it", "%w", err)
}

// imageUses lists which images are needed: by the disks of VMs, with what lies beneath
// them, and by the disks that are kept of those that are stopped. It fails if that cannot
// be told of one.
func (l *Launcher) imageUses() ([]store.Use, error) {
	found, err := l.runningUses()
	if err != nil {
		return nil, err
	}
	kept, err := l.keptUses()
	if err != nil {
		return nil, err
	}
	for _, use := range kept {
		if vm := (store.Use{Digest: use.Digest, By: "VM " + use.By}); !slices.Contains(found, vm) {
			found = append(found, store.Use{Digest: use.Digest, By: "the disk of VM " + use.By})
		}
	}
	return found, nil
}

// runningUses lists which images the VMs need that are there.
func (l *Launcher) runningUses() ([]store.Use, error) {
	names, err := l.Names()
	if err != nil {
		return nil, err
	}
	var found []store.Use
	images := l.imageStore()
	for _, name := range names {
		vm, err := l.look(l.root.Dir(name))
		switch {
		case errors.Is(err, fs.ErrNotExist):
			continue
		case err != nil:
			return nil, during("look at VM "+printableName(name), err)
		case vm.State == Failed:
			continue
		}
		by := "VM " + vm.Name
		for _, path := range vm.Spec.diskFiles() {
			if digest, ok := images.DigestOf(path); ok {
				found = append(found, store.Use{Digest: digest, By: by})
			}
		}
		for _, disk := range vm.Spec.Disks {
			if disk.Digest != "" {
				found = append(found, store.Use{Digest: disk.Digest, By: by})
			}
		}
	}
	return found, nil
}

// keptUses lists which images the kept disks began with, by the names of their VMs.
func (l *Launcher) keptUses() ([]store.Use, error) {
	names, err := l.disks().Names()
	if err != nil {
		return nil, err
	}
	var found []store.Use
	for _, name := range names {
		kept, err := l.disks().Kept(name)
		if err != nil {
			return nil, disksFailed(name, err)
		}
		for _, disk := range kept.Disks {
			found = append(found, store.Use{Digest: disk.Digest, By: name})
		}
	}
	return found, nil
}

// diskFiles are the paths of a VM's disks and of what lies beneath them. Of a disk
// that cannot be read at this moment there is its own alone.
func (s *Spec) diskFiles() []string {
	var paths []string
	for _, d := range s.Disks {
		paths = append(paths, d.Path)
		if d.Kept() {
			continue // what lies beneath it is known
		}
		chain, err := images.Open(d.Path, images.Options{Format: d.Format, ReadOnly: true, AllowBacking: s.AllowBacking})
		if err != nil {
			continue
		}
		for _, l := range chain.Layers[1:] {
			paths = append(paths, l.Path)
		}
		_ = chain.Close()
	}
	return paths
}
