package images

import (
	"encoding/binary"
	"errors"
	"math"
	"path/filepath"
	"testing"
)

// giant is a file of 4 EiB whose L2 tables are all full, made up as it is
// read; it counts what is.
type giant struct {
	head  []byte
	l1    int64 // the range of the L1 table
	l1End int64
	read  int64
}

const giantSize = 1 << 62

func (g *giant) ReadAt(p []byte, at int64) (int, error) {
	g.read += int64(len(p))
	n := copy(p, g.head[min(at, int64(len(g.head))):])
	for i := n; i+8 <= len(p); i += 8 {
		entry := uint64(0)
		switch place := at + int64(i); {
		case place >= g.l1 && place < g.l1End:
			entry = 1 << 40 // an L2 table
		case place >= 1<<40:
			entry = 1 << 41 // data
		}
		binary.BigEndian.PutUint64(p[i:], entry)
	}
	return len(p), nil
}

// TestSearchIsBounded: an image may pretend to any size and still costs no
// more than its L1 and refcount tables and maxL2Bytes.
func TestSearchIsBounded(t *testing.T) {
	for _, clusterBits := range []uint32{9, 16, 21} {
		const tables = maxL1Size + maxRefTableSize
		head := all(
			put32(20, clusterBits),
			put32(36, maxL1Size/8), put64(40, 1<<21),
			put32(56, maxRefTableSize>>clusterBits), put64(48, 1<<30), put64(24, 1<<30),
		)(overlayBytes(t, Overlay{VirtualSize: 512})[:512])
		g := &giant{head: head, l1: 1 << 21, l1End: 1<<21 + maxL1Size}
		info, err := examine("giant.qcow2", g, giantSize, false, "")
		if err != nil {
			t.Fatal(err)
		}
		if !info.Partial {
			t.Error("it is not said that the image was searched in part")
		}
		if most := int64(tables + maxL2Bytes + maxHead + sectorSize + 1<<clusterBits); g.read > most {
			t.Errorf("clusters of 2^%d: %d bytes read, more than %d", clusterBits, g.read, most)
		}
	}
}

// TestSearchIsComplete: an image of 20 GB is well within the bound.
func TestSearchIsComplete(t *testing.T) {
	info, err := Inspect(twentyGB(t), "")
	if err != nil || info.Partial {
		t.Errorf("an image of 20 GB: %+v, %v", info, err)
	}
}

func twentyGB(t testing.TB) string {
	path := filepath.Join(t.TempDir(), "20G.qcow2")
	qemuImg(t, "create", "-q", "-f", "qcow2", "-o", "preallocation=metadata", path, "20G")
	return path
}

func BenchmarkInspect20GB(b *testing.B) {
	path := twentyGB(b)
	for b.Loop() {
		if _, err := Inspect(path, ""); err != nil {
			b.Fatal(err)
		}
	}
}

// TestLayoutLimits: the largest disk that is written is also read.
func TestLayoutLimits(t *testing.T) {
	for _, size := range []int64{512, 1 << 29, 1<<29 + 512, 1 << 42, 1 << 51} {
		image, bad := newLayout(Overlay{VirtualSize: size})
		if bad != nil {
			t.Fatal(bad)
		}
		end := (3 + image.l1Clusters) << overlayClusterBits
		h, err := parseHeader(image.header, end)
		if err != nil || h.virtualSize != size {
			t.Errorf("%d bytes: read back as %+v, %v", size, h, err)
		}
	}
	for _, size := range []int64{0, -512, 1, 511, 513, 1<<51 + 512, math.MaxInt64, math.MinInt64} {
		_, err := newLayout(Overlay{VirtualSize: size})
		if err == nil || !errors.Is(err, ErrSize) {
			t.Errorf("a disk of %d bytes is laid out: %v", size, err)
		}
	}
}
