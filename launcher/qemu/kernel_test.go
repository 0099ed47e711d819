package qemu

import (
	"bytes"
	"encoding/binary"
	"testing"
)

func TestIsKernel(t *testing.T) {
	zeros := func(n int) []byte { return make([]byte, n) }
	words := func(at int, words ...uint32) []byte {
		b := zeros(at)
		for _, w := range words {
			b = binary.LittleEndian.AppendUint32(b, w)
		}
		return b
	}
	magic, flags := uint32(0x1badb002), uint32(3)
	for name, c := range map[string]struct {
		header []byte
		want   bool
	}{
		"bzImage":              {append(zeros(0x202), "HdrS..."...), true},
		"cut within its magic": {append(zeros(0x202), "Hdr"...), false},
		"magic elsewhere":      {append(zeros(0x200), "HdrS..."...), false},
		"ELF":                  {[]byte("\x7fELF\x02\x01\x01"), true},
		"multiboot":            {words(1024, magic, flags, -magic-flags), true},
		"multiboot at the end": {words(KernelHeader-12, magic, flags, -magic-flags), true},
		"multiboot unaligned":  {words(2, magic, flags, -magic-flags), false},
		"without its checksum": {words(1024, magic, flags, 1), false},
		"qcow2":                {append([]byte("QFI\xfb"), zeros(4096)...), false},
		"a text":               {bytes.Repeat([]byte("root:x:0:0\n"), 200), false},
		"nothing":              {nil, false},
	} {
		if got := IsKernel(c.header); got != c.want {
			t.Errorf("%s: %v, want %v", name, got, c.want)
		}
	}
}

func FuzzIsKernel(f *testing.F) {
	f.Add([]byte("\x7fELF"))
	f.Add(make([]byte, 600))
	f.Fuzz(func(_ *testing.T, header []byte) { IsKernel(header) })
}
