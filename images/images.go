// Package images knows virtual machines' disk images: what a file is, whether
// it is whole, which files lie beneath it, who uses it, and how a thin overlay
// on top of it is written.
//
// It works on open descriptors, in process, and starts no program. Everything
// in an image is taken for hostile, for a guest may have written it: sizes are
// checked before they are used, formats are never guessed where guessing is
// unsafe, and the name of a backing file is followed only where it leads to
// the image's own folder.
//
// A disk is opened as a [Chain], the image and its backing files from the top
// down, so that QEMU can be handed a descriptor for each and need open nothing
// by itself.
package images

import "io"

// Format is a disk format by the name of QEMU's block driver for it.
type Format string

// The formats that a disk may have.
const (
	// QCOW2 is QEMU's own format, of version 2 or 3
	// (docs/interop/qcow2.txt in QEMU's sources).
	QCOW2 Format = "qcow2"
	// Raw is the bytes of the disk and nothing else. It cannot be told from
	// content and must be asked for.
	Raw Format = "raw"
)

// sectorSize is the smallest unit of a disk in bytes (QEMU's BDRV_SECTOR_SIZE).
const sectorSize = 512

// Info is what there is to know about one image without its backing files.
type Info struct {
	// Path is the name under which the image was opened.
	Path string `json:"path"`
	// Format is what the image is, as asked for or as found.
	Format Format `json:"format"`
	// VirtualSize is the size of the disk that the guest sees, in bytes, a
	// multiple of 512.
	VirtualSize int64 `json:"virtual_size"`
	// FileSize is where the file or block device ends, in bytes.
	FileSize int64 `json:"file_size"`
	// Allocated is how much of the host's disk the file occupies, in bytes;
	// 0 for a block device.
	Allocated int64 `json:"allocated"`
	// Device says that the image is a block device of the host. QEMU's driver
	// for the protocol node is then host_device instead of file.
	Device bool `json:"device,omitempty"`
	// Version is the version of the qcow2 format, 2 or 3; 0 for raw.
	Version int `json:"version,omitempty"`
	// ClusterSize is the qcow2 image's unit of allocation in bytes; 0 for raw.
	ClusterSize int64 `json:"cluster_size,omitempty"`
	// BackingFile is the name in the image's header, untouched: hostile until
	// Open has followed it.
	BackingFile string `json:"backing_file,omitempty"`
	// BackingFormat is the backing file's format as the header states it.
	BackingFormat Format `json:"backing_format,omitempty"`
	// Snapshots counts the snapshots within the qcow2 image.
	Snapshots int `json:"snapshots,omitempty"`
	// Blank says that the image has nothing of its own: it is as it was made, and all
	// that is read of it is what lies beneath it, or zeros.
	Blank bool `json:"blank,omitempty"`
	// Dirty says that the image was not closed; QEMU mends it when it opens it.
	Dirty bool `json:"dirty,omitempty"`
	// Partial says that the image is so large that only its first tables were
	// searched for clusters beyond the end of the file (see maxL2Bytes).
	Partial bool `json:"partial,omitempty"`
}

// Inspect tells what the image at path is, and that it is whole. With no
// format asked for it finds out: qcow2 is known by its content, raw by a name
// that ends in .raw, anything else is refused. The backing file is not looked
// at. Failures are of type *Error.
func Inspect(path string, asked Format) (Info, error) {
	n, err := locate(path)
	if err != nil {
		return Info{}, err
	}
	defer n.close()
	f, err := n.open(false)
	if err != nil {
		return Info{}, err
	}
	defer func() { _ = f.Close() }()
	return n.inspect(f, asked, examine)
}

// examine is the part of an inspection that knows bytes alone: r has size
// bytes and is known to the user as path.
func examine(path string, r io.ReaderAt, size int64, device bool, asked Format) (Info, error) {
	info := Info{Path: path, FileSize: size, Device: device}
	if size == 0 {
		return info, &Error{Path: path, Kind: ErrEmpty, Detail: "the file is empty",
			Advice: "if a download or a copy was interrupted, repeat it"}
	}
	head := make([]byte, min(size, maxHead))
	if _, err := r.ReadAt(head, 0); err != nil && err != io.EOF {
		return info, readFailed(path, err)
	}
	look := look{head: head, tail: readTail(r, size), path: path, device: device}
	format, err := look.decide(asked)
	if err != nil {
		return info, err.about(path)
	}
	info.Format = format
	if format == Raw {
		return examineRaw(info)
	}
	return examineQCOW2(info, head, r)
}

// examineRaw checks the one thing that can be wrong with a raw disk.
func examineRaw(info Info) (Info, error) {
	if rest := info.FileSize % sectorSize; rest != 0 {
		return info, &Error{Path: info.Path, Kind: ErrTruncated,
			Detail: "a raw disk consists of whole sectors of 512 bytes, and this file ends within one: it is cut short, or not a disk",
			Advice: "repeat the download or copy, or round its size up with: truncate -s %512 " + quote(info.Path)}
	}
	info.VirtualSize = info.FileSize
	return info, nil
}

// examineQCOW2 reads a qcow2 image's header and walks its tables.
func examineQCOW2(info Info, head []byte, r io.ReaderAt) (Info, error) {
	h, err := parseHeader(head, info.FileSize)
	if err != nil {
		return info, err.about(info.Path)
	}
	info.Version = int(h.version)
	info.ClusterSize = h.clusterSize()
	info.VirtualSize = h.virtualSize
	info.BackingFile = h.backingFile
	info.BackingFormat = Format(h.backingFormat)
	info.Snapshots = int(h.snapshots)
	info.Dirty = h.incompatible&featureDirty != 0

	w := walk{header: h, r: r, size: info.FileSize}
	if err := w.check(); err != nil {
		return info, err.about(info.Path)
	}
	info.Partial = w.partial
	info.Blank = w.blank && h.snapshots == 0
	return info, nil
}
