package launcher

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"
	"time"

	"kvmrun/images"
	"kvmrun/images/store"
	"kvmrun/launcher/disks"
	"kvmrun/launcher/vmdir"
)

// A VM that starts from an image of the store writes to overlays of its own, which
// outlast it (package disks). The next VM of the name goes on with them: with what is
// kept under its name a VM is started, or not at all.

// disks are those that outlast their VMs.
func (l *Launcher) disks() disks.Root { return disks.At(l.data) }

// placeDisks says where the disks lie of a VM that has a name.
func (l *Launcher) placeDisks(s *Spec) {
	for i := range s.Disks {
		if disk := &s.Disks[i]; disk.Kept() {
			disk.Path = l.disks().File(s.Name, i)
		}
	}
}

// checkKept makes sure that a VM will be started with all that is kept under its name.
func checkKept(kept disks.Record, s *Spec) error {
	for _, had := range kept.Disks {
		advice := fmt.Sprintf("start it from that again, remove the disk by kvmrun rm %s, or choose another name by --name", s.Name)
		if had.Number >= len(s.Disks) || !s.Disks[had.Number].Kept() {
			return fail(KindExists, advice, "a disk of VM %s is kept, its number %d, which began with image %s", s.Name, had.Number, had.Image)
		}
		if disk := s.Disks[had.Number]; disk.Digest != had.Digest {
			return fail(KindExists, advice, "a disk of VM %s is kept, its number %d, which began with image %s and not with %s",
				s.Name, had.Number, had.Image, disk.Image)
		}
	}
	return nil
}

// checkSize makes sure that a disk which is there is what it is to be, and no larger.
func checkSize(s *Spec, disk *Disk, again bool) error {
	info, err := images.Inspect(disk.Path, images.QCOW2)
	if err != nil {
		return err
	}
	if disk.Size != 0 && disk.Size < info.VirtualSize && !again {
		return fail(KindExists, "leave --disk-size out, remove the disk by kvmrun rm "+s.Name+", or choose another name by --name",
			"the kept disk of VM %s has %s already", s.Name, FormatSize(info.VirtualSize))
	}
	return nil
}

// lockTime is how long the lock of a VM's disks may be waited for. Whoever has it longer
// uses them.
const lockTime = 2 * time.Second

// lockDisks takes the lock of what is kept under a name, by one of the ways to do so.
func lockDisks(ctx context.Context, vm string, take func(context.Context, string) (*disks.Folder, error)) (*disks.Folder, error) {
	limited, cancel := context.WithTimeout(ctx, lockTime)
	defer cancel()
	f, err := take(limited, vm)
	if err != nil && ctx.Err() != nil {
		return nil, abandoned(ctx, Report{})
	}
	return f, disksFailed(vm, err)
}

// disksFailed says what to do about an error of package disks.
func disksFailed(vm string, err error) error {
	var record *disks.RecordError
	switch {
	case err == nil:
		return nil
	case errors.Is(err, disks.ErrBusy):
		return fail(KindImageInUse, "wait for that one, or end it", "the disks of VM %s are in use by a QEMU, or by another kvmrun", vm)
	case errors.Is(err, disks.ErrStrange):
		return fail(KindStorage, "move it away", "the disks of VM %s: %w", vm, err)
	case errors.As(err, &record) && record.Newer:
		return fail(KindStorage, "use that one", "the disks of VM %s: %w", vm, err)
	case errors.As(err, &record):
		return fail(KindStorage, "put it back, or remove the disks by kvmrun rm "+vm, "the disks of VM %s: %w", vm, err)
	}
	return err
}

// kept is what is kept under a name, without its lock. Whoever may not look at all can
// only plan.
func (l *Launcher) kept(vm string) (disks.Record, error) {
	if vm == "" {
		return disks.Record{}, nil
	}
	r, err := l.disks().Kept(vm)
	if errors.Is(err, fs.ErrPermission) && os.Geteuid() != 0 {
		return disks.Record{}, nil
	}
	return r, disksFailed(vm, err)
}

// fits makes sure that a VM can have a name for what is kept under it. Its lock is not
// held, so what no guest has run with is left for later: it may go.
func (l *Launcher) fits(s *Spec) error {
	kept, err := l.kept(s.Name)
	if err != nil {
		return err
	}
	kept.Disks = slices.DeleteFunc(kept.Disks, func(d disks.Disk) bool { return !d.Ran })
	return checkKept(kept, s)
}

// keepDisks takes the disks that are kept under the VM's name, or makes them, once the
// VM has its folder. Their lock is the draft's from then on.
func (l *Launcher) keepDisks(ctx context.Context, d *draft, folder vmdir.New, o StartOptions) error {
	s := &d.spec
	if !s.KeepsDisks() {
		return nil
	}
	f, err := lockDisks(ctx, s.Name, l.disks().Make)
	if err != nil {
		return storageFailed(err)
	}
	d.disks = f
	if _, err := f.DropUnused(false); err != nil {
		return disksFailed(s.Name, err)
	}
	kept, err := f.Record()
	if err == nil {
		err = checkKept(kept, s)
	}
	if err != nil {
		return disksFailed(s.Name, err)
	}
	for i := range s.Disks {
		if !s.Disks[i].Kept() {
			continue
		}
		if err := l.keepDisk(ctx, d, i, &kept, o); err != nil {
			return err
		}
	}
	if kept, err = f.Record(); err != nil {
		return disksFailed(s.Name, err)
	}
	s.UUID = kept.UUID
	return folder.Dir.Write(vmdir.SpecFile, s)
}

// keepDisk takes or makes one disk.
func (l *Launcher) keepDisk(ctx context.Context, d *draft, number int, kept *disks.Record, o StartOptions) error {
	s := &d.spec
	disk := &s.Disks[number]
	had := kept.Find(number)
	if had == nil {
		return l.makeDisk(ctx, d, number)
	}
	err := checkSize(s, disk, o.again)
	if errors.Is(err, images.ErrNotExist) {
		return fail(KindStorage, "put it back, or remove what is left by kvmrun rm "+s.Name, "%s is gone, a disk of VM %s", disk.Path, s.Name)
	}
	if err == nil && !o.again {
		o.note("%s goes on with the disk that is kept of it, from image %s; to begin anew: kvmrun rm %s", s.Name, had.Image, s.Name)
	}
	return err
}

// makeDisk makes a disk. The store has it written down, with its lock held, who needs the
// image from now on; it is not removed any more then.
func (l *Launcher) makeDisk(ctx context.Context, d *draft, number int) error {
	disk := &d.spec.Disks[number]
	var size int64
	err := d.images.Hold(ctx, disk.Image, func(image store.Image) error {
		if image.Digest != disk.Digest {
			return fail(KindImage, "start it again", "image %s has become another meanwhile", disk.Image)
		}
		size = max(disk.Size, image.VirtualSize)
		return storageFailed(d.disks.Add(d.spec.UUID, disks.Disk{Number: number, Image: disk.Image, Digest: disk.Digest}))
	})
	switch {
	case err == nil:
		return storageFailed(d.disks.Create(number, disk.Base, size))
	case ctx.Err() != nil:
		return abandoned(ctx, Report{})
	case errors.Is(err, store.ErrBusy):
		return storeBusy(err)
	}
	return err
}

// storageFailed says of an error with the data directory what to do.
func storageFailed(err error) error {
	var e *Error
	if err == nil || errors.As(err, &e) {
		return err
	}
	if errors.Is(err, images.ErrSize) {
		return &Error{Kind: KindUsage, Err: err}
	}
	return &Error{Kind: KindStorage, Err: err, Advice: "free some space, or choose another data directory by --data-dir"}
}

// dropDisks removes what was made for a VM that does not come up, and gives the lock of
// its disks back.
func (d *draft) dropDisks() error {
	if d.disks == nil {
		return nil
	}
	_, err := d.disks.DropUnused(false)
	return errors.Join(err, d.closeDisks())
}

// closeDisks gives the lock of the VM's disks back.
func (d *draft) closeDisks() error {
	if d.disks == nil {
		return nil
	}
	err := d.disks.Close()
	d.disks = nil
	return err
}

// handOverDisks is the lock of the VM's disks, for the supervisor: this process has it no
// longer. nil if there is none.
func (d *draft) handOverDisks() *os.File {
	if d.disks == nil {
		return nil
	}
	lock := d.disks.Leave()
	d.disks = nil
	return lock
}

// DropDisks removes the disks of a VM that no guest has run with, if nobody has their
// lock.
func DropDisks(data string, s *Spec) error {
	if !s.KeepsDisks() {
		return nil
	}
	now, cancel := context.WithCancel(context.Background())
	cancel()
	f, err := disks.At(data).Lock(now, s.Name)
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, disks.ErrBusy) {
		return nil // there are none, or another uses them
	}
	if err != nil {
		return err
	}
	_, err = f.DropUnused(false)
	return errors.Join(err, f.Close())
}
