package images

import (
	"encoding/binary"
	"io"
	"os"
)

// Grow gives the disk of a qcow2 image that is open for writing, and that nobody else
// uses, so many bytes, if it has fewer. What is new reads as zeros. It is one write of
// 16 bytes, after which it is so also if the power fails.
//
// It goes as far as the clusters of the image's L1 table reach, which for 64 KiB is
// 4 TiB; for more, qemu-img has to move that table.
func Grow(f *os.File, virtualSize int64) error {
	fail := func(err *Error) error { return err.about(f.Name()) }
	size, err := f.Seek(0, io.SeekEnd)
	if err != nil {
		return readFailed(f.Name(), err)
	}
	head := make([]byte, min(size, maxHead))
	if _, err := f.ReadAt(head, 0); err != nil && err != io.EOF {
		return readFailed(f.Name(), err)
	}
	h, bad := parseHeader(head, size)
	if bad != nil {
		return fail(bad)
	}
	if virtualSize <= h.virtualSize {
		return nil
	}
	perL1 := h.clusterSize() * (h.clusterSize() / h.l2EntrySize())
	needed := (virtualSize-1)/perL1 + 1
	room := (h.l1Entries*8 + h.clusterSize() - 1) / h.clusterSize() * h.clusterSize() / 8
	switch {
	case virtualSize%sectorSize != 0:
		return fail(problem(ErrSize, "choose a multiple of 512", "a disk cannot have %d bytes", virtualSize))
	case needed > room || needed*8 > maxL1Size || h.snapshots > 0 || size < h.l1Offset+needed*8:
		return fail(problem(ErrSize, "grow it by: qemu-img resize FILE SIZE", "it cannot be grown to %d bytes in its place", virtualSize))
	}
	if more := max(needed-h.l1Entries, 0); more > 0 {
		if _, err := f.WriteAt(make([]byte, more*8), h.l1Offset+h.l1Entries*8); err != nil {
			return createFailed(f.Name(), err)
		}
	}
	// The table is zero to its end before the header says so.
	if err := f.Sync(); err != nil {
		return createFailed(f.Name(), err)
	}
	fields := make([]byte, 16) // size, crypt_method and l1_size
	binary.BigEndian.PutUint64(fields, uint64(virtualSize))
	binary.BigEndian.PutUint32(fields[12:], uint32(max(needed, h.l1Entries)))
	if _, err := f.WriteAt(fields, 24); err != nil {
		return createFailed(f.Name(), err)
	}
	if err := f.Sync(); err != nil {
		return createFailed(f.Name(), err)
	}
	return nil
}
