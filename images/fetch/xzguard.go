package fetch

import (
	"errors"
	"io"
)

// xzGuard follows the structure of an xz file (The .xz File Format 1.2.1) as it
// is read, and refuses one that would have its decompressor take too much
// memory: that takes any size which a block's header names, up to 4 GiB. And it
// notices a file that is cut, which the decompressor takes for whole where the cut
// is in a block's header. It does not look into compressed data, and leaves all
// checksums to the decompressor.
type xzGuard struct {
	r io.Reader
	// have collects bytes until there are need of them, for step to look at;
	// skip are those to pass over before.
	have []byte
	need int
	skip int64
	step func(b []byte) error
	// between says that a stream has ended and no other begun.
	between bool
	err     error

	checkSize int64 // of each block's check, in bytes
	blockSize int64 // of the block's compressed data so far
	index     xzIndex
}

// xzIndex is how far the index at a stream's end is.
type xzIndex struct {
	size    int64 // in bytes
	numbers int64 // still to come; -1: their count comes first
	value   uint64
	shift   uint
}

var (
	errXZ     = errors.New("its structure is not that of an xz file")
	errFilter = errors.New("it uses another filter than LZMA2, which is not known here")
)

// The sizes of an xz file's fixed parts, in bytes.
const (
	xzHeaderSize = 12
	xzFooterSize = 12
	xzCRCSize    = 4
)

// xzCheckSizes are the sizes of the checks that a stream can name.
var xzCheckSizes = [16]int64{0, 4, 4, 4, 8, 8, 8, 16, 16, 16, 32, 32, 32, 64, 64, 64}

func newXZGuard(r io.Reader) *xzGuard {
	g := &xzGuard{r: r}
	g.expect(xzHeaderSize, g.streamHeader)
	return g
}

func (g *xzGuard) Read(p []byte) (int, error) {
	if g.err != nil {
		return 0, g.err
	}
	n, err := g.r.Read(p)
	if g.err = g.follow(p[:n]); g.err != nil {
		return 0, g.err
	}
	if err == io.EOF && (!g.between || g.skip > 0 || len(g.have) > 0) {
		err = io.ErrUnexpectedEOF
	}
	return n, err
}

func (g *xzGuard) follow(p []byte) error {
	for len(p) > 0 {
		if g.skip > 0 {
			n := min(g.skip, int64(len(p)))
			g.skip -= n
			p = p[n:]
			continue
		}
		n := min(g.need-len(g.have), len(p))
		g.have = append(g.have, p[:n]...)
		if p = p[n:]; len(g.have) < g.need {
			return nil
		}
		whole := g.have
		g.have = g.have[:0]
		if err := g.step(whole); err != nil {
			return err
		}
	}
	return nil
}

func (g *xzGuard) expect(n int, step func([]byte) error) { g.need, g.step = n, step }

func (g *xzGuard) streamHeader(b []byte) error {
	if string(b[:6]) != "\xfd7zXZ\x00" || b[6] != 0 || b[7] > 15 {
		return errXZ
	}
	g.checkSize = xzCheckSizes[b[7]]
	g.expect(1, g.blockOrIndex)
	return nil
}

// blockOrIndex reads the size of a block's header, in words of four bytes and
// one less than that. 0 says that the index begins instead.
func (g *xzGuard) blockOrIndex(b []byte) error {
	if b[0] == 0 {
		g.index = xzIndex{size: 1, numbers: -1}
		g.expect(1, g.indexByte)
		return nil
	}
	g.expect(4*(int(b[0])+1)-1, g.blockHeader)
	return nil
}

func (g *xzGuard) blockHeader(b []byte) error {
	flags := b[0]
	rest, ok := b[1:len(b)-xzCRCSize], false
	for _, sized := range []byte{0x40, 0x80} { // the compressed and the full size
		if flags&sized != 0 {
			if _, rest, ok = xzNumber(rest); !ok {
				return errXZ
			}
		}
	}
	for range flags&3 + 1 {
		var id, size uint64
		if id, rest, ok = xzNumber(rest); !ok {
			return errXZ
		}
		if size, rest, ok = xzNumber(rest); !ok || size > uint64(len(rest)) {
			return errXZ
		}
		if err := checkFilter(id, rest[:size]); err != nil {
			return err
		}
		rest = rest[size:]
	}
	g.blockSize = 0
	g.expect(1, g.chunk)
	return nil
}

// lzma2 is the one filter that everybody uses.
const lzma2 = 0x21

func checkFilter(id uint64, properties []byte) error {
	if id != lzma2 || len(properties) != 1 || properties[0] > 40 {
		return errFilter
	}
	bits := properties[0]
	if window := int64(2|bits&1) << (bits/2 + 11); window > maxWindow {
		return &Error{Kind: ErrArchive, Detail: "unpacking it takes " + amount(window) + " of memory, more than " + amount(maxWindow),
			Advice: "unpack it by yourself, with unxz"}
	}
	return nil
}

// chunk reads the control byte of a piece of LZMA2 data.
func (g *xzGuard) chunk(b []byte) error {
	g.blockSize++
	switch c := b[0]; {
	case c == 0:
		g.skip = (4-g.blockSize%4)%4 + g.checkSize
		g.expect(1, g.blockOrIndex)
	case c <= 2:
		g.expect(2, g.storedChunk)
	case c < 0x80:
		return errXZ
	case c < 0xc0:
		g.expect(4, g.packedChunk)
	default: // a byte of properties follows
		g.expect(5, g.packedChunk)
	}
	return nil
}

func (g *xzGuard) storedChunk(b []byte) error { return g.pass(b, b) }

func (g *xzGuard) packedChunk(b []byte) error { return g.pass(b, b[2:]) }

// pass skips the data of a chunk whose header was b and has its size at size.
func (g *xzGuard) pass(b, size []byte) error {
	g.skip = int64(size[0])<<8 + int64(size[1]) + 1
	g.blockSize += int64(len(b)) + g.skip
	g.expect(1, g.chunk)
	return nil
}

// indexByte reads the numbers of the index: how many blocks there are, then two
// for each.
func (g *xzGuard) indexByte(b []byte) error {
	i := &g.index
	i.size++
	if i.shift > 56 || (i.shift > 0 && b[0] == 0) {
		return errXZ
	}
	i.value |= uint64(b[0]&0x7f) << i.shift
	i.shift += 7
	if b[0]&0x80 != 0 {
		return nil
	}
	if i.numbers < 0 {
		if i.value > 1<<60 {
			return errXZ
		}
		i.numbers = 2 * int64(i.value)
	} else {
		i.numbers--
	}
	i.value, i.shift = 0, 0
	if i.numbers == 0 {
		g.skip = (4-i.size%4)%4 + xzCRCSize + xzFooterSize
		g.between = true
		g.expect(4, g.afterStream)
	}
	return nil
}

// afterStream takes padding, in words of four bytes, or another stream.
func (g *xzGuard) afterStream(b []byte) error {
	if string(b) == "\x00\x00\x00\x00" {
		return nil
	}
	g.between = false
	start := string(b)
	g.expect(xzHeaderSize-len(start), func(b []byte) error { return g.streamHeader([]byte(start + string(b))) })
	return nil
}

// xzNumber reads a number of variable length.
func xzNumber(b []byte) (n uint64, rest []byte, ok bool) {
	for i, c := range b[:min(len(b), 9)] {
		n |= uint64(c&0x7f) << (7 * i)
		if c&0x80 == 0 {
			return n, b[i+1:], true
		}
	}
	return 0, nil, false
}
