package qemu

import (
	"bytes"
	"encoding/binary"
)

// KernelHeader is how much of a file IsKernel looks at: where a multiboot header
// may lie.
const KernelHeader = 8 << 10

// Marks of what QEMU can load by -kernel.
const (
	linuxMagicAt   = 0x202      // "HdrS" (Linux Documentation/arch/x86/boot.rst)
	multibootMagic = 0x1badb002 // (Multiboot Specification 0.6.96, 3.1.1)
)

// IsKernel tells by the first bytes of a file whether QEMU can load it by
// -kernel: a bzImage, an ELF file with an entry for PVH, or a multiboot kernel
// (hw/i386/x86-common.c of QEMU). Any other file that is long enough it takes for
// a Linux of before 1995, and jumps into it.
func IsKernel(header []byte) bool {
	if len(header) >= linuxMagicAt+4 && string(header[linuxMagicAt:linuxMagicAt+4]) == "HdrS" {
		return true
	}
	return bytes.HasPrefix(header, []byte("\x7fELF")) || isMultiboot(header)
}

// isMultiboot looks for magic, flags and a checksum, which add up to zero.
func isMultiboot(header []byte) bool {
	for at := 0; at+12 <= len(header); at += 4 {
		word := func(i int) uint32 { return binary.LittleEndian.Uint32(header[at+4*i:]) }
		if word(0) == multibootMagic && word(0)+word(1)+word(2) == 0 {
			return true
		}
	}
	return false
}
