package launcher

import (
	"context"
	"errors"
	"io/fs"

	"github.com/google/uuid"

	"kvmrun/images/store"
)

// Rename gives a stopped VM another name, which is to say the disks that are kept of it.
// With the name its identity becomes another: the machine's UUID, and by that what the
// guest's cloud-init makes anew when it boots next, the host name and the SSH host key
// among it. A VM that runs keeps its name, as its guest knows it by that.
func (l *Launcher) Rename(ctx context.Context, name, to string) error {
	return during("rename "+printableName(name), l.rename(ctx, name, to))
}

func (l *Launcher) rename(ctx context.Context, name, to string) error {
	if err := requireRoot("rename"); err != nil {
		return err
	}
	if err := CheckName(to); err != nil {
		return err
	}
	f, err := l.holdStopped(ctx, name)
	if errors.Is(err, fs.ErrNotExist) {
		return noSuchDisk(name)
	}
	if err != nil {
		return err
	}
	defer func() { _ = f.Close() }()
	kept, err := f.Record()
	if err != nil {
		return disksFailed(name, err)
	}
	if len(kept.Disks) == 0 {
		return noSuchDisk(name)
	}
	if _, err := l.look(l.root.Dir(to)); !errors.Is(err, fs.ErrNotExist) {
		if err != nil {
			return err
		}
		return nameHasVM(to)
	}
	// image rm goes through the names of all disks.
	err = l.imageStore().HandOver(ctx, func() error { return f.Rename(to, uuid.NewString()) })
	switch {
	case errors.Is(err, fs.ErrExist):
		return nameHasVM(to)
	case errors.Is(err, store.ErrBusy):
		return storeBusy(err)
	case err != nil:
		return disksFailed(name, err)
	}
	return l.clearName(ctx, name)
}

// nameHasVM says that a name cannot be given to another VM.
func nameHasVM(name string) error {
	return fail(KindExists, "choose another name, or remove that VM by kvmrun rm "+name, "there is a VM %s already", name)
}
