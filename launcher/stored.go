package launcher

import (
	"errors"
	"io/fs"
	"os"
	"strings"

	"kvmrun/images"
	"kvmrun/images/store"
)

// isImageName tells whether what the user calls a disk means an image of the store: it
// has no slash, and there is no such file here. A folder is no disk.
func isImageName(text string) bool {
	if strings.ContainsRune(text, '/') || CheckImageName(text) != nil {
		return false
	}
	info, err := os.Stat(text)
	return errors.Is(err, fs.ErrNotExist) || err == nil && info.IsDir()
}

// findStored settles a disk that begins with an image of the store: which content that
// is. It returns false for a disk that is a file. What is kept under the VM's name comes
// before what the image's name leads to by now.
func (d *draft) findStored(number int) (bool, error) {
	disk := &d.spec.Disks[number]
	if disk.Image == "" && isImageName(disk.Path) {
		disk.Image, disk.Path = disk.Path, ""
	}
	if disk.Image == "" {
		if disk.Size != 0 && !disk.Ephemeral {
			return false, fail(KindUsage, "grow the file by qemu-img resize, or import it and start from the store",
				"--disk-size is for overlays, and %s itself is written to", disk.Path)
		}
		return false, nil
	}
	if disk.Format != "" && disk.Format != images.QCOW2 {
		return false, fail(KindUsage, "leave --format out", "--format %s cannot be: images in the store are qcow2", disk.Format)
	}
	if err := CheckImageName(disk.Image); err != nil {
		return false, err
	}
	if had := d.kept.Find(number); disk.Kept() && had != nil && (had.Image == disk.Image || had.Digest == disk.Digest) {
		disk.Digest = had.Digest
	} else if err := d.findContent(disk); err != nil {
		return false, err
	}
	disk.Base, disk.Format = d.images.Blob(disk.Digest), images.QCOW2
	return true, d.examineBase(disk)
}

// findContent asks the store which content an image has, which must be the one that the
// disk is known to begin with, if any.
func (d *draft) findContent(disk *Disk) error {
	image, err := d.images.Get(disk.Image)
	switch {
	case errors.Is(err, store.ErrNoImage):
		return fail(KindImage, "check the path, or see kvmrun image ls",
			"%s is no file here, and no image of that name is in the store", disk.Image)
	case err != nil:
		return err
	case disk.Digest != "" && disk.Digest != image.Digest:
		return fail(KindImage, "start another VM from it", "image %s has become another since the VM began with it", disk.Image)
	}
	disk.Digest = image.Digest
	return nil
}

// examineBase makes sure that what lies beneath a disk is there, and not larger than the
// disk shall be.
func (d *draft) examineBase(disk *Disk) error {
	base, err := images.Inspect(disk.Base, images.QCOW2)
	if errors.Is(err, images.ErrNotExist) {
		return fail(KindImage, "import it again", "the content of image %s is gone from the store: %w", disk.Image, err)
	}
	if err != nil {
		return err
	}
	if disk.Size != 0 && disk.Size < base.VirtualSize {
		return fail(KindUsage, "give more", "--disk-size %s is less than the disk of image %s has, %s",
			FormatSize(disk.Size), disk.Image, FormatSize(base.VirtualSize))
	}
	if disk.Size%sectorSize != 0 {
		return fail(KindUsage, "give whole sectors of 512 bytes", "a disk cannot have %d bytes", disk.Size)
	}
	if disk.Ephemeral {
		disk.Path = disk.Base
	}
	return nil
}

// sectorSize is the smallest unit of a disk in bytes.
const sectorSize = 512
