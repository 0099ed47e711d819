package images

import (
	"encoding/binary"
	"io"
	"math/bits"
)

// maxL2Bytes bounds the search for clusters that lie beyond the end of the
// file: 16 MiB of L2 tables, which is all of them for 128 GiB of written data
// in clusters of 64 KiB. Of the tables after that only the place is checked.
const maxL2Bytes = 16 << 20

// chunkSize is how much of a table is read at once.
const chunkSize = 64 << 10

// The bits of entries in the L1, L2 and refcount tables.
const (
	entryOffset     = 0x00ff_ffff_ffff_fe00
	refBlockOffset  = 0xffff_ffff_ffff_fe00
	entryCompressed = 1 << 62
)

// walk follows a qcow2 image's tables to everything that they refer to.
type walk struct {
	header  *header
	r       io.ReaderAt
	size    int64 // of the file
	partial bool  // the search stopped at maxL2Bytes
	blank   bool  // no entry of the L1 table leads anywhere

	searched int64 // bytes of L2 tables
	l2       []byte
}

// check makes sure that all that the image refers to begins before the end of
// the file, and that tables also end there: the last cluster of data may be
// cut short by right, a table never is. This is what tells a whole image from
// the first half of a download.
func (w *walk) check() *Error {
	h := w.header
	if err := w.each(h.refTableOffset, h.refTableEntries, func(entry uint64) *Error {
		return w.checkTable("reference counts", entry&refBlockOffset)
	}); err != nil {
		return err
	}
	w.blank = true
	return w.each(h.l1Offset, h.l1Entries, func(entry uint64) *Error {
		w.blank = false
		if entry&entryOffset == 0 {
			return nil
		}
		if err := w.checkTable("L2 table", entry&entryOffset); err != nil {
			return err
		}
		return w.search(int64(entry & entryOffset))
	})
}

// each reads a table of 8-byte entries and visits those that are not zero.
func (w *walk) each(offset, entries int64, visit func(uint64) *Error) *Error {
	var buf [chunkSize]byte
	for left := entries * 8; left > 0; {
		chunk := buf[:min(left, chunkSize)]
		if err := w.read(chunk, offset); err != nil {
			return err
		}
		for at := 0; at < len(chunk); at += 8 {
			if entry := binary.BigEndian.Uint64(chunk[at:]); entry != 0 {
				if err := visit(entry); err != nil {
					return err
				}
			}
		}
		offset += int64(len(chunk))
		left -= int64(len(chunk))
	}
	return nil
}

// checkTable checks the place of a table that fills one cluster.
func (w *walk) checkTable(what string, offset uint64) *Error {
	cluster := uint64(w.header.clusterSize())
	if offset&(cluster-1) != 0 {
		return contradiction("a cluster of its %s is said to lie at %#x, where no cluster begins", what, offset)
	}
	if offset != 0 && offset > uint64(w.size)-min(cluster, uint64(w.size)) {
		return cutShort("a cluster of its %s at %d lies beyond the end of the file at %d", what, offset, w.size)
	}
	return nil
}

// search goes through one L2 table. It is what takes the time in looking at
// an image, so the loop only gathers, and judges once.
func (w *walk) search(offset int64) *Error {
	h := w.header
	if w.searched >= maxL2Bytes {
		w.partial = true
		return nil
	}
	if w.l2 == nil {
		w.l2 = make([]byte, h.clusterSize())
	}
	if err := w.read(w.l2, offset); err != nil {
		return err
	}
	w.searched += int64(len(w.l2))

	// A compressed cluster's entry has fewer bits for the offset, which may be
	// any byte, and the rest for the length.
	compressedOffset := uint64(1)<<(62-(h.clusterBits-8)) - 1
	var highest, union uint64
	stride := int(h.l2EntrySize())
	for table := w.l2; len(table) >= stride; table = table[stride:] {
		entry := binary.BigEndian.Uint64(table)
		if entry&entryCompressed != 0 {
			highest = max(highest, entry&compressedOffset)
			continue
		}
		entry &= entryOffset
		highest = max(highest, entry)
		union |= entry
	}
	if union != 0 && bits.TrailingZeros64(union) < int(h.clusterBits) {
		return contradiction("its L2 table at %d refers to data where no cluster begins", offset)
	}
	if highest >= uint64(w.size) {
		return cutShort("it refers to data at %d, and the file ends at %d", highest, w.size)
	}
	return nil
}

// read fills the buffer. The place was checked, so that an end of file here
// means that the file has become shorter meanwhile.
func (w *walk) read(buf []byte, offset int64) *Error {
	n, err := w.r.ReadAt(buf, offset)
	switch {
	case n == len(buf):
		return nil
	case err == io.EOF:
		return cutShort("it became shorter while it was read")
	}
	return readFailed("", err)
}
