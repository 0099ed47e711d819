package images

import (
	"bytes"
	"io"
	"strings"
	"unicode/utf8"
)

// maxHead is how much of an image's start is read: enough for every magic and
// for a qcow2 header with its extensions.
const maxHead = 64 << 10

// kind is what a content looks like.
type kind struct {
	// name reads well after "it is".
	name string
	// disk says that QEMU would read the content as a disk of this format,
	// which a guest can bring about by writing a header into a raw disk.
	disk bool
	// driver is QEMU's name of the format, for one that qemu-img converts.
	driver string
	// advice is what to do with anything else.
	advice string
}

var qcow2Kind = kind{name: "a qcow2 image", disk: true}

// signature is the bytes by which a format is known.
type signature struct {
	at    int64 // from the start; negative: from the end of the file
	magic string
	kind  kind
}

// signatures are those of the drivers in QEMU's block/ folder, and of what
// people take for a disk image by mistake.
var signatures = []signature{
	{0, "QFI\xfb\x00\x00\x00\x01", foreign("a qcow image of version 1", "qcow")},
	{0, "QFI\xfb", qcow2Kind},
	{0, "QED\x00", foreign("a QED image", "qed")},
	{0, "KDMV", foreign("a VMDK image", "vmdk")},
	{0, "COWD", foreign("a VMDK image", "vmdk")},
	{0, "# Disk DescriptorFile", foreign("a VMDK image", "vmdk")},
	{64, "\x7f\x10\xda\xbe", foreign("a VDI image", "vdi")},
	{0, "conectix", foreign("a VHD image", "vpc")},
	{-512, "conectix", foreign("a VHD image", "vpc")},
	{0, "vhdxfile", foreign("a VHDX image", "vhdx")},
	{0, "WithoutFreeSpace", foreign("a Parallels image", "parallels")},
	{0, "WithouFreSpacExt", foreign("a Parallels image", "parallels")},
	{0, "Bochs Virtual HD Image", foreign("a Bochs image", "bochs")},
	{-512, "koly", foreign("a DMG image", "dmg")},
	{0, "LUKS\xba\xbe", kind{name: "a LUKS-encrypted disk", disk: true,
		advice: "decrypt it into an image that is not encrypted (qemu-img convert with --object secret)"}},

	{0, "\x1f\x8b", packed("gzip", "gunzip")},
	{0, "\xfd7zXZ\x00", packed("xz", "unxz")},
	{0, "\x28\xb5\x2f\xfd", packed("zstd", "unzstd")},
	{0, "BZh", packed("bzip2", "bunzip2")},
	{0, "PK\x03\x04", packed("zip", "unzip")},
	{32769, "CD001", kind{name: "an ISO 9660 image (a CD)", advice: "to use it as a disk, say --format raw"}},
}

func foreign(name, driver string) kind { return kind{name: name, disk: true, driver: driver} }

func packed(name, tool string) kind {
	return kind{name: "a file compressed by " + name, advice: "unpack it first, with " + tool}
}

// look is what is known of a file before its format is.
type look struct {
	head   []byte // its start, up to maxHead
	tail   []byte // its last 512 bytes, or fewer
	path   string
	device bool
}

// recognise says what the content looks like; the zero kind if like nothing.
func (l look) recognise() kind {
	for _, s := range signatures {
		from := l.head
		at := s.at
		if at < 0 {
			from = l.tail
			at += int64(len(l.tail))
		}
		if at >= 0 && at < int64(len(from)) && bytes.HasPrefix(from[at:], []byte(s.magic)) {
			return s.kind
		}
	}
	return l.recogniseText()
}

// recogniseText finds what a failed download leaves behind: an error page, or
// a list of checksums.
func (l look) recogniseText() kind {
	start := l.head[:min(len(l.head), 512)]
	if trimmed := bytes.ToLower(bytes.TrimSpace(start)); bytes.HasPrefix(trimmed, []byte("<!doctype html")) ||
		bytes.HasPrefix(trimmed, []byte("<html")) {
		return kind{name: "a web page", advice: "the download failed: look into the file, and download the image itself"}
	}
	// The last rune may be cut by the limit of 512 bytes.
	for cut := 0; cut < utf8.UTFMax && cut < len(start); cut++ {
		if utf8.Valid(start[:len(start)-cut]) && !bytes.ContainsFunc(start, control) {
			return kind{name: "a text file", advice: "if it is a raw disk nevertheless, say --format raw"}
		}
	}
	return kind{}
}

func control(r rune) bool { return r < ' ' && r != '\n' && r != '\r' && r != '\t' }

// decide settles the format. It never takes raw on the content's word: a guest
// that writes another format's header into its raw disk would choose, at the
// next start, which of the host's files are opened for it.
func (l look) decide(asked Format) (Format, *Error) {
	found := l.recognise()
	switch asked {
	case QCOW2:
		return l.decideQCOW2(found)
	case Raw:
		return l.decideRaw(found, "it was called raw")
	case "":
		return l.decideUnasked(found)
	}
	return "", problem(ErrUnsupported, "use qcow2 or raw, or convert it with: qemu-img convert -O qcow2 FILE NEW",
		"the format %s is not one that can be used", quote(string(asked)))
}

func (l look) decideQCOW2(found kind) (Format, *Error) {
	switch {
	case found == qcow2Kind:
		return QCOW2, nil
	case found.name == "":
		return "", problem(ErrFormat, "if it is a raw disk, say --format raw",
			"it was called qcow2, but does not begin as a qcow2 image does")
	}
	return "", problem(ErrFormat, l.remedy(found), "it was called qcow2, but looks like %s", found.name)
}

func (l look) decideRaw(found kind, why string) (Format, *Error) {
	if !found.disk {
		return Raw, nil
	}
	advice := l.remedy(found)
	if found == qcow2Kind {
		advice = "if it is one that you trust, say --format qcow2"
	}
	return "", problem(ErrFormat, advice, "%s, but its content looks like %s: "+
		"a guest can write such a header into its raw disk to reach other files of the host", why, found.name)
}

func (l look) decideUnasked(found kind) (Format, *Error) {
	switch {
	case l.device:
		return "", problem(ErrFormat, "say --format raw, or --format qcow2 if it holds such an image",
			"the format of a block device is never guessed")
	case strings.HasSuffix(l.path, ".raw"):
		return l.decideRaw(found, "its name ends in .raw")
	case found == qcow2Kind:
		return QCOW2, nil
	case found.disk:
		return "", problem(ErrUnsupported, l.remedy(found), "it is %s, which cannot be used as it is", found.name)
	case found.name != "":
		return "", problem(ErrFormat, l.remedy(found), "it is not a disk image that is recognised, but %s", found.name)
	}
	return "", problem(ErrFormat, "if it is a raw disk, say --format raw",
		"it is not a disk image that is recognised (raw disks cannot be)")
}

// remedy says what to do with a file of this kind.
func (l look) remedy(found kind) string {
	if found.driver == "" {
		return found.advice
	}
	return "convert it with: qemu-img convert -f " + found.driver + " -O qcow2 FILE NEW"
}

// readTail returns the last sector, where some formats have their magic. What
// cannot be read there will fail where it is needed.
func readTail(r io.ReaderAt, size int64) []byte {
	tail := make([]byte, min(size, sectorSize))
	n, _ := r.ReadAt(tail, size-int64(len(tail)))
	return tail[:n]
}
