package fetch

import (
	"bytes"
	"compress/bzip2"
	"compress/gzip"
	"io"
	"slices"
	"strings"

	"github.com/klauspost/compress/zstd"
	"github.com/ulikunitz/xz"
)

// packing is a way to pack one file.
type packing struct {
	name    string
	magic   string
	endings []string
	unpack  func(io.Reader) (io.Reader, func(), error) // nil where nothing is packed
}

// packings are known by their first bytes, as names lie. gzip's are taken with
// the one method that there is, bzip2's with its first block.
var packings = []packing{
	{"xz", "\xfd7zXZ\x00", []string{".xz"}, unxz},
	{"zstd", "\x28\xb5\x2f\xfd", []string{".zst", ".zstd"}, unzstd},
	{"gzip", "\x1f\x8b\x08", []string{".gz", ".gzip"}, gunzip},
	{"bzip2", "BZh", []string{".bz2"}, bunzip2},
}

// maxWindow is how far back zstd's and xz's archives may refer, in bytes, all
// of it kept in memory. It is what zstd allows unasked; xz -9 has the half.
const maxWindow = 128 << 20

// maxMagic is how much of a file's start tells how it is packed.
const maxMagic = 64

// packing looks how the file is packed, if it shall be looked at.
func (g *getter) packing(f io.ReaderAt) (packing, error) {
	if g.options.AsIs {
		return packing{}, nil
	}
	start := make([]byte, maxMagic)
	n, err := f.ReadAt(start, 0)
	if err != nil && err != io.EOF {
		return packing{}, err
	}
	p := recognise(start[:n])
	if name := g.source.name(); g.options.AsNamed && p.trim(name) == name {
		return packing{}, nil
	}
	return p, nil
}

// Packed tells whether Get would unpack a local file. Of one that cannot be read
// it says no.
func Packed(path string, o Options) bool {
	g := getter{options: o, source: location{path: path}}
	f, err := openLocal(g.source)
	if err != nil {
		return false
	}
	defer func() { _ = f.Close() }()
	p, err := g.packing(f)
	return err == nil && p.unpack != nil
}

// recognise is the packing of which these are the first bytes.
func recognise(start []byte) packing {
	for _, p := range packings {
		if bytes.HasPrefix(start, []byte(p.magic)) && (p.name != "bzip2" || bzipBlock(start)) {
			return p
		}
	}
	return packing{}
}

// bzipBlock tells whether a level and a block, or the end, follow "BZh".
func bzipBlock(start []byte) bool {
	if len(start) < 10 || start[3] < '1' || start[3] > '9' {
		return false
	}
	return slices.Contains([]string{"1AY&SY", "\x17\x72\x45\x38\x50\x90"}, string(start[4:10]))
}

// trim takes the packing's ending from a name.
func (p packing) trim(name string) string {
	for _, ending := range p.endings {
		if len(name) > len(ending) && strings.EqualFold(name[len(name)-len(ending):], ending) {
			return name[:len(name)-len(ending)]
		}
	}
	return name
}

func nothing() {}

func unxz(r io.Reader) (io.Reader, func(), error) {
	x, err := xz.NewReader(newXZGuard(r))
	return x, nothing, err
}

// unzstd reads in the goroutine of its caller alone, so that nothing is read any
// more when the caller has an error.
func unzstd(r io.Reader) (io.Reader, func(), error) {
	z, err := zstd.NewReader(r, zstd.WithDecoderMaxWindow(maxWindow), zstd.WithDecoderConcurrency(1))
	if err != nil {
		return nil, nothing, err
	}
	return z, z.Close, nil
}

func gunzip(r io.Reader) (io.Reader, func(), error) {
	z, err := gzip.NewReader(r)
	return z, nothing, err
}

func bunzip2(r io.Reader) (io.Reader, func(), error) { return bzip2.NewReader(r), nothing, nil }
