package images

import (
	"encoding/binary"
	"math"
)

// What a qcow2 header may contain; names and numbers are those of
// docs/interop/qcow2.txt in QEMU's sources, limits those of block/qcow2.h.
const (
	headerSizeV2    = 72
	headerSizeV3    = 104
	minClusterBits  = 9
	maxClusterBits  = 21
	maxL1Size       = 32 << 20 // bytes
	maxRefTableSize = 8 << 20  // bytes
	maxBackingName  = 1023     // bytes
	maxRefOrder     = 6

	featureDirty       = 1 << 0
	featureCorrupt     = 1 << 1
	featureDataFile    = 1 << 2
	featureCompression = 1 << 3
	featureExtendedL2  = 1 << 4
	featuresKnown      = featureDirty | featureCorrupt | featureDataFile | featureCompression | featureExtendedL2

	extensionEnd           = 0
	extensionBackingFormat = 0xe2792aca
)

// header is what a qcow2 header says, checked: offsets are aligned and the
// tables that they point at lie within the file, sizes are within QEMU's
// limits, and every feature that must be understood is.
type header struct {
	version         uint32
	clusterBits     uint32
	virtualSize     int64
	l1Entries       int64
	l1Offset        int64
	refTableOffset  int64
	refTableEntries int64
	snapshots       uint32
	incompatible    uint64
	backingFile     string
	backingFormat   string
}

func (h *header) clusterSize() int64 { return 1 << h.clusterBits }

// l2EntrySize is 16 where each cluster has 32 subclusters, otherwise 8.
func (h *header) l2EntrySize() int64 {
	if h.incompatible&featureExtendedL2 != 0 {
		return 16
	}
	return 8
}

// parseHeader reads the header of a qcow2 image from its first bytes, as many
// of them as maxHead and the file's size allow.
func parseHeader(head []byte, fileSize int64) (*header, *Error) {
	if len(head) < headerSizeV2 {
		return nil, cutShort("its header is not complete")
	}
	h := &header{version: binary.BigEndian.Uint32(head[4:])}
	size := int64(headerSizeV2)
	switch h.version {
	case 2:
	case 3:
		if len(head) < headerSizeV3 {
			return nil, cutShort("its header is not complete")
		}
		size = int64(binary.BigEndian.Uint32(head[100:]))
	default:
		return nil, problem(ErrUnsupported, "convert it to version 3 with the qemu-img that made it",
			"it is a qcow2 image of version %d, and only 2 and 3 are known", h.version)
	}
	for _, check := range []func([]byte, int64) *Error{h.readFeatures, h.readGeometry, h.readTables} {
		if err := check(head, fileSize); err != nil {
			return nil, err
		}
	}
	if size < headerSizeV2 || h.version == 3 && size < headerSizeV3 || size > min(h.clusterSize(), maxHead) {
		return nil, contradiction("its header states its own length as %d bytes", size)
	}
	if err := h.readBackingFile(head, fileSize); err != nil {
		return nil, err
	}
	return h, h.readExtensions(head, size)
}

// readFeatures refuses what cannot be read rightly.
func (h *header) readFeatures(head []byte, _ int64) *Error {
	if method := binary.BigEndian.Uint32(head[32:]); method != 0 {
		return problem(ErrUnsupported, "decrypt it with: qemu-img convert --object secret,… -O qcow2 FILE NEW",
			"it is encrypted (method %d)", method)
	}
	if h.version < 3 {
		return nil
	}
	h.incompatible = binary.BigEndian.Uint64(head[72:])
	if unknown := h.incompatible &^ featuresKnown; unknown != 0 {
		return problem(ErrUnsupported, "convert it with the qemu-img that made it, without that feature",
			"it needs features that are not known (bits %#x)", unknown)
	}
	if h.incompatible&featureDataFile != 0 {
		return problem(ErrUnsupported, "convert it with: qemu-img convert -O qcow2 FILE NEW",
			"its data lies in another file (data_file)")
	}
	if h.incompatible&featureCorrupt != 0 {
		return problem(ErrCorrupt, "copy it, then repair it with: qemu-img check -r all FILE",
			"QEMU has marked it as corrupt")
	}
	return h.readCompression(head)
}

// readCompression checks the field that was added behind the first 104 bytes.
func (h *header) readCompression(head []byte) *Error {
	if h.incompatible&featureCompression == 0 {
		return nil
	}
	if binary.BigEndian.Uint32(head[100:]) <= headerSizeV3 {
		return contradiction("it needs a compression method that its header does not name")
	}
	if len(head) <= headerSizeV3 {
		return cutShort("its header is not complete")
	}
	if method := head[headerSizeV3]; method != 1 { // 1 is zstd; 0, zlib, needs no feature bit
		return problem(ErrUnsupported, "convert it with the qemu-img that made it",
			"its compression method %d is not known", method)
	}
	return nil
}

// readGeometry reads the sizes of clusters, of the disk and of what counts
// references.
func (h *header) readGeometry(head []byte, _ int64) *Error {
	h.clusterBits = binary.BigEndian.Uint32(head[20:])
	least := uint32(minClusterBits)
	if h.incompatible&featureExtendedL2 != 0 {
		least = 14 // a subcluster has 512 bytes at least
	}
	if h.clusterBits < least || h.clusterBits > maxClusterBits {
		return contradiction("its cluster size is 2^%d bytes", h.clusterBits)
	}
	if h.version == 3 {
		if order := binary.BigEndian.Uint32(head[96:]); order > maxRefOrder {
			return contradiction("its reference counts have 2^%d bits", order)
		}
	}
	size := binary.BigEndian.Uint64(head[24:])
	if size > math.MaxInt64 {
		return contradiction("its disk has %d bytes", size)
	}
	h.virtualSize = int64(size) &^ (sectorSize - 1) // QEMU rounds down as well
	if h.virtualSize == 0 {
		return problem(ErrEmpty, "give it a size with: qemu-img resize FILE SIZE", "its disk has no sectors")
	}
	h.snapshots = binary.BigEndian.Uint32(head[60:])
	return nil
}

// readTables reads where the tables lie and makes sure that they can.
func (h *header) readTables(head []byte, fileSize int64) *Error {
	h.l1Entries = int64(binary.BigEndian.Uint32(head[36:]))
	// One L1 entry stands for a table that fills a cluster. The division
	// comes first, the product may not fit.
	perL1 := h.clusterSize() * (h.clusterSize() / h.l2EntrySize())
	needed := (h.virtualSize-1)/perL1 + 1
	if h.l1Entries < needed || h.l1Entries*8 > maxL1Size {
		return contradiction("its L1 table has %d entries where its disk needs %d", h.l1Entries, needed)
	}
	clusters := int64(binary.BigEndian.Uint32(head[56:]))
	if clusters == 0 || clusters > maxRefTableSize>>h.clusterBits {
		return contradiction("its refcount table has %d clusters", clusters)
	}
	h.refTableEntries = clusters << h.clusterBits / 8

	var err *Error
	if h.l1Offset, err = h.place("L1 table", binary.BigEndian.Uint64(head[40:]), h.l1Entries*8, fileSize); err != nil {
		return err
	}
	h.refTableOffset, err = h.place("refcount table", binary.BigEndian.Uint64(head[48:]), h.refTableEntries*8, fileSize)
	return err
}

// place checks the offset of a table of so many bytes.
func (h *header) place(what string, offset uint64, length, fileSize int64) (int64, *Error) {
	if offset == 0 || offset&uint64(h.clusterSize()-1) != 0 || offset > math.MaxInt64 {
		return 0, contradiction("its %s is said to lie at %#x, where none can", what, offset)
	}
	if int64(offset) > fileSize-length {
		return 0, cutShort("its %s of %d bytes at %d lies beyond the end of the file at %d", what, length, offset, fileSize)
	}
	return int64(offset), nil
}

// readBackingFile reads the name of the backing file, if there is one.
func (h *header) readBackingFile(head []byte, fileSize int64) *Error {
	offset := binary.BigEndian.Uint64(head[8:])
	length := uint64(binary.BigEndian.Uint32(head[16:]))
	if offset == 0 || length == 0 {
		return nil
	}
	if length > maxBackingName || offset > uint64(min(h.clusterSize(), maxHead))-length {
		return contradiction("its backing file's name is said to have %d bytes at %d of the header", length, offset)
	}
	if offset+length > uint64(len(head)) {
		return cutShort("the file ends within its header, at %d", fileSize)
	}
	h.backingFile = string(head[offset : offset+length])
	return nil
}

// readExtensions walks through the header extensions for the backing format.
// They end before the backing file's name, or with the first cluster.
func (h *header) readExtensions(head []byte, from int64) *Error {
	end := min(h.clusterSize(), int64(len(head)))
	if offset := int64(binary.BigEndian.Uint64(head[8:])); h.backingFile != "" {
		end = offset
	}
	for at := from; at <= end-8; {
		kind := binary.BigEndian.Uint32(head[at:])
		length := int64(binary.BigEndian.Uint32(head[at+4:]))
		at += 8
		if kind == extensionEnd {
			return nil
		}
		if length > end-at {
			return contradiction("its header extension %#x of %d bytes does not fit", kind, length)
		}
		if kind == extensionBackingFormat {
			h.backingFormat = string(head[at : at+length])
		}
		at += (length + 7) &^ 7
	}
	return nil
}

func contradiction(format string, args ...any) *Error {
	return problem(ErrCorrupt, "restore it from a good copy, or see what is left with: qemu-img check FILE", format, args...)
}

func cutShort(format string, args ...any) *Error {
	return problem(ErrTruncated, "a download or copy was probably interrupted: repeat it", format, args...)
}
