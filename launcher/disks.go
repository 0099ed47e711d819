package launcher

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"golang.org/x/sys/unix"

	"kvmrun/images"
	"kvmrun/images/store"
)

// A VM that starts from an image of the store writes to overlays of its own, which lie
// in the data directory, in a folder of the VM's name. They outlast the VM: the next of
// the name goes on with them, until they are removed.

// disksDir is where the disks lie that outlast their VMs.
func (l *Launcher) disksDir() string { return filepath.Join(l.data, "disks") }

// keptDisk is where a VM's overlay for its disk of a number lies.
func (l *Launcher) keptDisk(vm string, number int) string {
	return filepath.Join(l.disksDir(), vm, fmt.Sprintf("disk%d.qcow2", number))
}

// isImageName tells whether what the user calls a disk means an image of the store: it
// is no path, and there is no such file here.
func isImageName(text string) bool {
	if strings.ContainsRune(text, '/') || CheckImageName(text) != nil {
		return false
	}
	_, err := os.Lstat(text)
	return errors.Is(err, fs.ErrNotExist)
}

// findStored settles a disk that begins with an image of the store: which content that
// is, and how large the disk will be. It returns false for a disk that is a file.
func (d *draft) findStored(disk *Disk) (bool, error) {
	if disk.Image == "" && disk.Path != "" && isImageName(disk.Path) {
		disk.Image, disk.Path = disk.Path, ""
	}
	if disk.Image == "" {
		if disk.Size != 0 && !disk.Ephemeral {
			return false, fail(KindUsage, "grow the file by qemu-img resize, or import it and start from the store",
				"--disk-size is for overlays, and %s itself is written to", disk.Path)
		}
		return false, nil
	}
	if disk.Path != "" {
		return true, nil // it was completed before, for a VM that is started again
	}
	if err := CheckImageName(disk.Image); err != nil {
		return false, err
	}
	image, err := d.images.Get(disk.Image)
	if errors.Is(err, store.ErrNoImage) {
		return false, fail(KindImage, "check the path, or see kvmrun image ls", "%s is no file here, and no image of that name is in the store", disk.Image)
	}
	if err != nil {
		return false, err
	}
	if disk.Size != 0 && disk.Size < image.VirtualSize {
		return false, fail(KindUsage, "give more", "--disk-size %s is less than the disk of image %s has, %s",
			FormatSize(disk.Size), disk.Image, FormatSize(image.VirtualSize))
	}
	// Where the overlay will lie follows from the VM's name, which may not be known yet.
	disk.Path, disk.Format = image.Path, images.QCOW2
	return true, nil
}

// keptDisks are the numbers of the disks that outlast the VM.
func (s *Spec) keptDisks() []int {
	var found []int
	for i, disk := range s.Disks {
		if disk.Image != "" && !disk.Ephemeral {
			found = append(found, i)
		}
	}
	return found
}

// planDisks says where the VM's own overlays lie, and tells whether they are there from
// an earlier VM of the name.
func (l *Launcher) planDisks(d *draft) error {
	for _, i := range d.spec.keptDisks() {
		disk := &d.spec.Disks[i]
		path := l.keptDisk(d.spec.Name, i)
		if disk.Path == path {
			continue // whatever the image's name leads to by now
		}
		info, err := images.Inspect(path, images.QCOW2)
		switch {
		case errors.Is(err, images.ErrNotExist):
			disk.base, disk.Path = disk.Path, path
			continue
		case err != nil:
			return err
		case info.BackingFile != disk.Path:
			return fail(KindExists, "remove it by kvmrun rm "+d.spec.Name+", or choose another name by --name",
				"VM %s has a disk already, which did not begin with image %s as it is now", d.spec.Name, disk.Image)
		case disk.Size != 0 && disk.Size != info.VirtualSize:
			return fail(KindExists, "leave --disk-size out, remove the disk by kvmrun rm "+d.spec.Name+", or choose another name by --name",
				"the disk of VM %s has %s already", d.spec.Name, FormatSize(info.VirtualSize))
		}
		disk.Path = path
		if !info.Blank {
			d.note("%s goes on with the disk that it had; to begin anew: kvmrun rm %s", d.spec.Name, d.spec.Name)
		}
	}
	return nil
}

// makeDisks is planDisks that makes the overlays which are not there. The folder is
// locked as long as the draft lives: who removes what nobody uses leaves it alone.
func (l *Launcher) makeDisks(ctx context.Context, d *draft) error {
	if len(d.spec.keptDisks()) == 0 {
		return nil
	}
	folder := filepath.Join(l.disksDir(), d.spec.Name)
	if err := os.MkdirAll(folder, 0o700); err != nil {
		return &Error{Kind: KindStorage, Err: err, Advice: "choose another by --data-dir"}
	}
	lock, err := lockFolder(folder)
	if err != nil {
		return err
	}
	d.locks = append(d.locks, lock)
	if err := l.planDisks(d); err != nil {
		return err
	}
	for _, disk := range d.freshDisks() {
		err := d.images.Hold(ctx, disk.Image, func(image store.Image) error {
			if image.Path != disk.base {
				return fail(KindImage, "start it again", "image %s has become another meanwhile", disk.Image)
			}
			size := max(disk.Size, image.VirtualSize)
			return images.CreateOverlay(disk.Path, images.Overlay{VirtualSize: size, BackingFile: disk.base, BackingFormat: images.QCOW2})
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// dropDisks removes the overlays that were made for a VM which did not come up, if its
// guest has written nothing to them.
func (l *Launcher) dropDisks(d *draft) error {
	var errs []error
	for _, disk := range d.freshDisks() {
		errs = append(errs, dropBlank(disk.Path))
	}
	if len(d.locks) > 0 {
		_ = os.Remove(d.locks[0].Name()) // it stays if there is anything in it
	}
	return errors.Join(errs...)
}

// freshDisks are those with overlays that are not there yet, or were made for this VM.
func (d *draft) freshDisks() []Disk {
	return slices.DeleteFunc(slices.Clone(d.spec.Disks), func(disk Disk) bool { return disk.base == "" })
}

// dropBlank removes an overlay that says nothing.
func dropBlank(path string) error {
	info, err := images.Inspect(path, images.QCOW2)
	if errors.Is(err, images.ErrNotExist) || err == nil && !info.Blank {
		return nil
	}
	if err != nil {
		return err
	}
	return ignoreGone(os.Remove(path))
}

// lockFolder takes a folder's lock (flock(2)), which lasts as long as the file is open.
func lockFolder(path string) (*os.File, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	if err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		_ = f.Close()
		if errors.Is(err, unix.EWOULDBLOCK) {
			return nil, fail(KindExists, "wait until it is done", "another kvmrun is busy with the disks in %s", path)
		}
		return nil, fmt.Errorf("lock %s: %w", path, err)
	}
	return f, nil
}
