package images

import (
	"bytes"
	"encoding/binary"
	"io"
	"strings"
)

// The formats that no VM runs from and that can be converted to qcow2.
const (
	VMDK Format = "vmdk"
	VDI  Format = "vdi"
	VHDX Format = "vhdx"
	VHD  Format = "vpc" // Virtual PC, of which QEMU's driver has its name
)

// foreignChecks are the formats that can be converted, each with what is looked
// at before QEMU's driver is: that the file is the whole disk, and names no other
// file. What is wrong with it otherwise, the driver finds.
var foreignChecks = map[Format]func(r io.ReaderAt, size int64) *Error{
	VMDK: checkVMDK,
	VDI:  checkVDI,
	VHDX: func(io.ReaderAt, int64) *Error { return nil }, // the driver does it all
	VHD:  checkVHD,
}

// Convertible tells whether it is the name of a format that Options.Foreign
// admits: one of the two that VMs run from, or one that can be made into them.
func Convertible(f Format) bool {
	return f == QCOW2 || f == Raw || foreignChecks[f] != nil
}

// examineAny is examine for what may be of a foreign format. Of such an image
// only the format and the file's size are known then.
func examineAny(path string, r io.ReaderAt, size int64, device bool, asked Format) (Info, error) {
	head := make([]byte, min(size, maxHead))
	if _, err := r.ReadAt(head, 0); err != nil && err != io.EOF {
		return Info{Path: path, FileSize: size, Device: device}, readFailed(path, err)
	}
	l := look{head: head, tail: readTail(r, size), path: path, device: device}
	found := Format(l.recognise().driver)
	check := foreignChecks[found]
	switch {
	case foreignChecks[asked] != nil && asked != found:
		return Info{}, l.notCalled(asked).about(path)
	case check == nil, asked != found && (asked != "" || device || strings.HasSuffix(path, ".raw")):
		return examine(path, r, size, device, asked)
	}
	if err := check(r, size); err != nil {
		return Info{}, err.about(path)
	}
	return Info{Path: path, Format: found, FileSize: size, Device: device}, nil
}

// notCalled says that the content is not of the foreign format that was asked for.
func (l look) notCalled(asked Format) *Error {
	found := l.recognise()
	if found.name == "" {
		return problem(ErrFormat, "leave --format out, or say --format raw if it is a raw disk",
			"it was called %s, but does not look like such an image", asked)
	}
	return problem(ErrFormat, "leave --format out", "it was called %s, but looks like %s", asked, found.name)
}

// What a VMDK's header has; names and places are those of SparseExtentHeader in
// VMware's "Virtual Disk Format 5.0". Offsets and sizes are in sectors.
const (
	vmdkMagic      = "KDMV"
	vmdkCapacity   = 12
	vmdkDescOffset = 28
	vmdkDescSize   = 36
	vmdkHeaderSize = 512

	// maxDescriptor is what a descriptor may have in bytes: 50 times what is usual.
	maxDescriptor = 512 << 10
	// qemuDescriptor is where QEMU looks for the descriptor, whatever the header
	// says, and how much it reads (block/vmdk.c).
	qemuDescriptor, qemuDescriptorSize = 512, 20 * 512
)

// checkVMDK admits the two kinds of VMDK that are one file: monolithicSparse and
// streamOptimized. In all others a text names the files that have the data, and
// QEMU opens what it names.
func checkVMDK(r io.ReaderAt, size int64) *Error {
	header := make([]byte, vmdkHeaderSize)
	if n, _ := r.ReadAt(header, 0); n < len(header) && bytes.HasPrefix(header, []byte(vmdkMagic)) {
		return cutShort("its header is not complete")
	}
	if !bytes.HasPrefix(header, []byte(vmdkMagic)) {
		return severalFiles("its data lie in other files, which it names")
	}
	// With a capacity of 0 QEMU takes the descriptor for the whole image, and
	// opens the files that it names.
	if binary.LittleEndian.Uint64(header[vmdkCapacity:]) == 0 {
		return severalFiles("its header states no capacity: the data lie in other files, which it names")
	}
	offset := binary.LittleEndian.Uint64(header[vmdkDescOffset:])
	length := binary.LittleEndian.Uint64(header[vmdkDescSize:])
	switch {
	case offset == 0 || length == 0:
		return severalFiles("it has no descriptor: it is a part of a disk that has several files")
	case length > maxDescriptor/sectorSize || offset > uint64(size)/sectorSize:
		return contradiction("its descriptor is said to have %d sectors at %d", length, offset)
	}
	own := readText(r, int64(offset)*sectorSize, int64(length)*sectorSize)
	if err := parseDescriptor(own).check(); err != nil {
		return err
	}
	if strings.Contains(readText(r, qemuDescriptor, qemuDescriptorSize), "parentFileNameHint") {
		return vmdkDelta()
	}
	return nil
}

// readText is a text of that many bytes at most, which a NUL may end before. What
// cannot be read is as if it were not there.
func readText(r io.ReaderAt, offset, length int64) string {
	text := make([]byte, length)
	n, _ := r.ReadAt(text, offset)
	text, _, _ = bytes.Cut(text[:n], []byte{0})
	return string(text)
}

// descriptor is the text in a VMDK that says what belongs to the disk.
type descriptor struct {
	createType string
	parent     bool
	extents    int
}

// parseDescriptor reads what matters, line by line: KEY=VALUE, and for each
// extent its access, size, kind and file.
func parseDescriptor(text string) (d descriptor) {
	for line := range strings.Lines(text) {
		line = strings.TrimSpace(line)
		key, value, _ := strings.Cut(line, "=")
		value = strings.Trim(strings.TrimSpace(value), `"`)
		switch word, _, _ := strings.Cut(line, " "); {
		case strings.EqualFold(strings.TrimSpace(key), "createType"):
			d.createType = value
		case strings.EqualFold(strings.TrimSpace(key), "parentCID"):
			d.parent = d.parent || !strings.EqualFold(value, "ffffffff")
		case word == "RW", word == "RDONLY", word == "NOACCESS":
			d.extents++
		}
	}
	d.parent = d.parent || strings.Contains(text, "parentFileNameHint")
	return d
}

func (d descriptor) check() *Error {
	switch {
	case d.parent:
		return vmdkDelta()
	case d.createType == "":
		return severalFiles("its descriptor does not say that it is a disk by itself")
	case !strings.EqualFold(d.createType, "monolithicSparse") && !strings.EqualFold(d.createType, "streamOptimized"):
		return severalFiles("it is of the kind %s, not of monolithicSparse or streamOptimized, which are one file", quote(d.createType))
	case d.extents != 1:
		return severalFiles("it has %d extents", d.extents)
	}
	return nil
}

// severalFiles refuses a VMDK that may have QEMU open other files.
func severalFiles(format string, args ...any) *Error {
	return problem(ErrUnsupported, "if you trust it, make one file of it with: qemu-img convert -f vmdk -O qcow2 FILE NEW", format, args...)
}

func vmdkDelta() *Error {
	return problem(ErrUnsupported, "merge it into its parent with the program that made it",
		"it has only what differs from another disk, its parent")
}

// What a VDI's header has, as QEMU's block/vdi.c reads it, in bytes from the start.
const (
	vdiMapOffset  = 0x154
	vdiDataOffset = 0x158
	vdiBlockSize  = 0x178
	vdiBlocks     = 0x180
	vdiAllocated  = 0x184
	vdiHeaderSize = 0x200
)

// checkVDI refuses a VDI that is cut short, in whose place QEMU reads zeros. One
// that has a parent, the driver refuses.
func checkVDI(r io.ReaderAt, size int64) *Error {
	header := make([]byte, vdiHeaderSize)
	if n, _ := r.ReadAt(header, 0); n < len(header) {
		return cutShort("its header is not complete")
	}
	field := func(at int) int64 { return int64(binary.LittleEndian.Uint32(header[at:])) }
	block, blocks := field(vdiBlockSize), field(vdiAllocated)
	if needed := field(vdiDataOffset); block != 0 && blocks > (size-needed)/block {
		return cutShort("its %d blocks of %d bytes from %d on do not fit into a file of %d", blocks, block, needed, size)
	}
	// QEMU makes as large a table as the header says, whatever is in the file.
	if table, entries := field(vdiMapOffset), field(vdiBlocks); entries > (size-table)/4 {
		return cutShort("its table of %d blocks from %d on does not fit into a file of %d", entries, table, size)
	}
	return nil
}

// The types of a VHD, at vhdType of its footer (Microsoft, "Virtual Hard Disk
// Image Format Specification").
const (
	vhdType         = 60
	vhdFixed        = 2
	vhdDynamic      = 3
	vhdDifferencing = 4
)

// checkVHD refuses a VHD that is not a disk by itself, which QEMU takes for one.
func checkVHD(r io.ReaderAt, size int64) *Error {
	footer := readTail(r, size)
	if len(footer) < sectorSize || !bytes.HasPrefix(footer, []byte("conectix")) {
		footer = make([]byte, sectorSize) // a dynamic one has a copy in front
		if n, _ := r.ReadAt(footer, 0); n < len(footer) {
			return cutShort("its header is not complete")
		}
	}
	switch kind := binary.BigEndian.Uint32(footer[vhdType:]); kind {
	case vhdFixed, vhdDynamic:
		return nil
	case vhdDifferencing:
		return problem(ErrUnsupported, "merge it into its parent with the program that made it",
			"it has only what differs from another disk, its parent")
	default:
		return contradiction("its type is %d, which no VHD has", kind)
	}
}
