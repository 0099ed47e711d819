package images

import (
	"encoding/binary"
	"os"
)

// overlayClusterBits makes clusters of 64 KiB, qemu-img's default.
const overlayClusterBits = 16

// layout is an empty qcow2 image of version 3. Its clusters are, in order: the
// header, the refcount table, one block of reference counts, and the L1 table,
// which has no entries yet. A block counts 32,768 clusters, many more than
// there are at the start.
type layout struct {
	header     []byte
	l1Clusters int64
}

// newLayout builds the image in memory.
func newLayout(o Overlay) (*layout, *Error) {
	const cluster = 1 << overlayClusterBits
	const perL1 = cluster * (cluster / 8)
	if o.VirtualSize <= 0 || o.VirtualSize%sectorSize != 0 || (o.VirtualSize-1)/perL1 >= maxL1Size/8 {
		return nil, problem(ErrSize, "choose a multiple of 512, up to 2 PiB", "a disk cannot have %d bytes", o.VirtualSize)
	}
	l1Entries := (o.VirtualSize-1)/perL1 + 1
	h := make([]byte, headerSizeV3, 512)
	put32 := func(at int, v int64) { binary.BigEndian.PutUint32(h[at:], uint32(v)) }
	put64 := func(at int, v int64) { binary.BigEndian.PutUint64(h[at:], uint64(v)) }
	copy(h, "QFI\xfb")
	put32(4, 3)
	put32(20, overlayClusterBits)
	put64(24, o.VirtualSize)
	put32(36, l1Entries)
	put64(40, 3*cluster)
	put64(48, 1*cluster)
	put32(56, 1) // cluster of the refcount table
	put32(96, 4) // reference counts of 2^4 bits
	put32(100, headerSizeV3)

	if o.BackingFile != "" {
		name, err := checkBacking(o)
		if err != nil {
			return nil, err
		}
		h = appendExtension(h, extensionBackingFormat, string(o.BackingFormat))
		h = appendExtension(h, extensionEnd, "")
		put64(8, int64(len(h)))
		put32(16, int64(len(name)))
		h = append(h, name...)
	}
	return &layout{header: h, l1Clusters: (l1Entries*8 + cluster - 1) / cluster}, nil
}

// checkBacking returns the backing file's name in the form for the header.
func checkBacking(o Overlay) (string, *Error) {
	name := plainName(o.BackingFile)
	if why := notPlain(name); why != "" || len(name) > maxBackingName {
		return "", problem(ErrBacking, "choose a plain path of up to 1023 bytes",
			"%s cannot stand in its header as the backing file", quote(o.BackingFile))
	}
	if o.BackingFormat != QCOW2 && o.BackingFormat != Raw {
		return "", problem(ErrFormat, "say qcow2 or raw", "the format of its backing file is said to be %s",
			quote(string(o.BackingFormat)))
	}
	return name, nil
}

// appendExtension appends a header extension, padded to 8 bytes.
func appendExtension(h []byte, kind uint32, data string) []byte {
	h = binary.BigEndian.AppendUint32(h, kind)
	h = binary.BigEndian.AppendUint32(h, uint32(len(data)))
	h = append(h, data...)
	return append(h, make([]byte, -len(data)&7)...)
}

// write writes the image into an empty file. What is zero stays a hole.
func (l *layout) write(f *os.File) error {
	const cluster = 1 << overlayClusterBits
	if err := f.Truncate((3 + l.l1Clusters) * cluster); err != nil {
		return err
	}
	counts := make([]byte, 0, 64)
	for range 3 + l.l1Clusters {
		counts = binary.BigEndian.AppendUint16(counts, 1)
	}
	table := binary.BigEndian.AppendUint64(nil, 2*cluster)
	for _, part := range []struct {
		at    int64
		bytes []byte
	}{{0, l.header}, {cluster, table}, {2 * cluster, counts}} {
		if _, err := f.WriteAt(part.bytes, part.at); err != nil {
			return err
		}
	}
	return nil
}
