package launcher

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"

	"kvmrun/images"
	"kvmrun/images/store"
	"kvmrun/launcher/disks"
)

// stopped are the VMs of which nothing but disks is left: those that are not among the
// names.
func (l *Launcher) stopped(names []string) ([]VM, error) {
	all, err := l.disks().Names()
	errs := []error{err}
	var found []VM
	for _, name := range all {
		if slices.Contains(names, name) {
			continue
		}
		kept, err := l.disks().Kept(name)
		if err != nil {
			errs = append(errs, during("list "+printableName(name), disksFailed(name, err)))
		}
		if len(kept.Disks) > 0 {
			found = append(found, VM{Name: name, State: Stopped, Image: kept.Disks[0].Image, UUID: kept.UUID})
		}
	}
	return found, errors.Join(errs...)
}

// again makes sure that a VM which is there can be started again with a kept disk: the
// disk is there, or can be made once more if no guest has run with it.
func (l *Launcher) again(name string, number int, disk *Disk) error {
	kept, err := l.kept(name)
	if err != nil {
		return err
	}
	if _, err := os.Stat(l.imageStore().Blob(disk.Digest)); err != nil {
		return fmt.Errorf("the content of image %s: %w", disk.Image, err)
	}
	if had := kept.Find(number); had != nil {
		_, err := images.Inspect(l.disks().File(name, number), images.QCOW2)
		if err == nil || had.Ran || !errors.Is(err, images.ErrNotExist) {
			return err
		}
	}
	image, err := l.imageStore().Get(disk.Image)
	if err == nil && image.Digest != disk.Digest {
		err = fail(KindImage, "", "image %s has become another since", disk.Image)
	}
	return err
}

// holdStopped takes the lock of the disks of a VM that is stopped, or has failed. The
// lock is what counts: no VM runs with them as long as it is held.
func (l *Launcher) holdStopped(ctx context.Context, name string) (*disks.Folder, error) {
	if err := CheckName(name); err != nil {
		return nil, err
	}
	vm, err := l.look(l.root.Dir(name))
	switch {
	case errors.Is(err, fs.ErrNotExist):
	case err != nil:
		return nil, err
	case vm.State != Failed:
		return nil, fail(KindExists, "stop it first", "VM %s is there (%s)", name, vm.State)
	}
	return lockDisks(ctx, name, l.disks().Lock)
}

// RemoveVMs removes what outlasts VMs that do not run: the disks that are kept of them,
// and the records of those that failed. It goes on where one cannot be removed; the error
// joins all that failed.
func (l *Launcher) RemoveVMs(ctx context.Context, names []string) error {
	return sideBySide(names, func(name string) error {
		return during("remove "+printableName(name), l.removeVM(ctx, name))
	})
}

func (l *Launcher) removeVM(ctx context.Context, name string) error {
	if err := requireRoot("rm"); err != nil {
		return err
	}
	f, err := l.holdStopped(ctx, name)
	if errors.Is(err, fs.ErrNotExist) {
		if !l.root.Dir(name).Exists() {
			return noSuchVM(name)
		}
		return l.clearName(ctx, name)
	}
	if err != nil {
		return err
	}
	defer func() { _ = f.Close() }()
	if err := f.Remove(); err != nil {
		return disksFailed(name, err)
	}
	return l.clearName(ctx, name)
}

// Commit makes an image of a stopped VM's first kept disk: all that the guest saw, in one
// file. The disk stays as it is. Of the request, the name, Replace and Progress count.
func (l *Launcher) Commit(ctx context.Context, vm string, r store.Request) (i store.Image, already bool, err error) {
	i, already, err = l.commit(ctx, vm, r)
	return i, already, imageFailed("commit "+printableName(vm), err)
}

func (l *Launcher) commit(ctx context.Context, vm string, r store.Request) (store.Image, bool, error) {
	if err := requireRoot("commit"); err != nil {
		return store.Image{}, false, err
	}
	if err := CheckImageName(r.Name); err != nil {
		return store.Image{}, false, err
	}
	f, err := l.holdStopped(ctx, vm)
	if errors.Is(err, fs.ErrNotExist) {
		return store.Image{}, false, noSuchDisk(vm)
	}
	if err != nil {
		return store.Image{}, false, err
	}
	defer func() { _ = f.Close() }()
	kept, err := f.Record()
	if err != nil {
		return store.Image{}, false, disksFailed(vm, err)
	}
	if len(kept.Disks) == 0 {
		return store.Image{}, false, noSuchDisk(vm)
	}
	disk := kept.Disks[0]
	r.Path, r.Format, r.Base = f.File(disk.Number), images.QCOW2, l.imageStore().Blob(disk.Digest)
	return l.imageStore().Import(ctx, r)
}

func noSuchDisk(vm string) error {
	return fail(KindNotFound, "see kvmrun list -a; a disk that is a file of yours is made an image by kvmrun image import",
		"no disk is kept of a VM %s", vm)
}

// sweepDisks removes what starts have left that were killed before a guest ran, and what
// rm has that was. What somebody has the lock of is in use.
func (l *Launcher) sweepDisks(dryRun bool) ([]Leftover, error) {
	names, err := l.disks().Names()
	if err != nil {
		return nil, err
	}
	gone, err := l.disks().Sweep(dryRun)
	errs := []error{err}
	for _, name := range names {
		dropped, err := l.sweepDisksOf(name, dryRun)
		if err != nil {
			errs = append(errs, disksFailed(name, err))
		}
		gone = append(gone, dropped...)
	}
	found := make([]Leftover, len(gone))
	for i, path := range gone {
		found[i] = Leftover{What: path, Action: ActionRemove, Done: !dryRun}
	}
	return found, errors.Join(errs...)
}

func (l *Launcher) sweepDisksOf(name string, dryRun bool) ([]string, error) {
	now, cancel := context.WithCancel(context.Background())
	cancel()
	f, err := l.disks().Lock(now, name)
	if errors.Is(err, disks.ErrBusy) || errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	dropped, err := f.DropUnused(dryRun)
	if dryRun {
		return dropped, errors.Join(err, f.Leave().Close())
	}
	return dropped, errors.Join(err, f.Close())
}
