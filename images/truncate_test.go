package images

import (
	"encoding/binary"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"testing"
)

const madeSize = 6 << 20 // bytes of the disks that qemu-img makes here

// made are the kinds of qcow2 image that qemu-img makes: from a patterned raw
// disk by convert, or as an empty disk by create.
var made = []struct {
	name string
	args []string // to convert, or to create
	then func(t *testing.T, path string)
}{
	{name: "plain", args: []string{"convert"}},
	{name: "version 2", args: []string{"convert", "-o", "compat=0.10"}},
	{name: "compressed", args: []string{"convert", "-c"}},
	{name: "compressed, version 2", args: []string{"convert", "-c", "-o", "compat=0.10"}},
	{name: "compressed by zstd", args: []string{"convert", "-c", "-o", "compression_type=zstd"}},
	{name: "compressed in 2 MiB", args: []string{"convert", "-c", "-o", "cluster_size=2M"}},
	{name: "clusters of 512", args: []string{"convert", "-o", "cluster_size=512"}},
	{name: "clusters of 4 KiB", args: []string{"convert", "-o", "cluster_size=4k"}},
	{name: "clusters of 2 MiB", args: []string{"convert", "-o", "cluster_size=2M"}},
	{name: "subclusters", args: []string{"convert", "-o", "extended_l2=on,cluster_size=16k"}},
	{name: "reference counts of 1 bit", args: []string{"convert", "-o", "refcount_bits=1"}},
	{name: "reference counts of 64 bits", args: []string{"convert", "-o", "refcount_bits=64,cluster_size=512"}},
	{name: "lazy reference counts", args: []string{"convert", "-o", "lazy_refcounts=on"}},
	{name: "preallocated metadata, filled", args: []string{"convert", "-o", "preallocation=metadata"}},

	{name: "empty", args: []string{"create"}},
	{name: "empty, preallocated metadata", args: []string{"create", "-o", "preallocation=metadata"}},
	{name: "empty, preallocated metadata, version 2", args: []string{"create", "-o", "preallocation=metadata,compat=0.10"}},
	{name: "empty, preallocated metadata, subclusters", args: []string{"create", "-o", "preallocation=metadata,extended_l2=on"}},
	{name: "empty, preallocated by falloc", args: []string{"create", "-o", "preallocation=falloc"}},
	{name: "empty, preallocated in full", args: []string{"create", "-o", "preallocation=full"}},

	{name: "shrunk", args: []string{"convert"}, then: func(t *testing.T, path string) {
		qemuImg(t, "resize", "-q", "--shrink", path, "3M")
		qemuImg(t, "resize", "-q", path, "6M")
	}},
	{name: "grown, preallocated metadata", args: []string{"convert"}, then: func(t *testing.T, path string) {
		qemuImg(t, "resize", "-q", "--shrink", path, "3M")
		qemuImg(t, "resize", "-q", "--preallocation=metadata", path, "6M")
	}},
	{name: "zeros and discarded", args: []string{"convert"}, then: func(t *testing.T, path string) {
		tool(t, "qemu-io", "-f", "qcow2", "-d", "unmap", "-c", "write -z 0 512k", "-c", "write -zu 4M 512k", "-c", "discard 5M 1M", path)
	}},
	{name: "with a snapshot", args: []string{"convert"}, then: func(t *testing.T, path string) {
		qemuImg(t, "snapshot", "-c", "before", path)
		tool(t, "qemu-io", "-f", "qcow2", "-c", "write -P 7 0 256k", path)
	}},
	{name: "with a bitmap", args: []string{"convert"}, then: func(t *testing.T, path string) {
		qemuImg(t, "bitmap", "--add", path, "changes")
	}},
}

// TestTruncation cuts images by qemu-img at every place where something that
// they refer to begins or ends, and just beside it. What loses anything must
// be refused, what loses nothing must not.
func TestTruncation(t *testing.T) {
	need(t, "qemu-img")
	need(t, "qemu-io")
	folder := t.TempDir()
	source := writeFile(t, filepath.Join(folder, "source.raw"), patterned(madeSize))
	for _, m := range made {
		t.Run(m.name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "image.qcow2")
			if m.args[0] == "convert" {
				qemuImg(t, append(slices.Clone(m.args), "-f", "raw", "-O", "qcow2", source, path)...)
			} else {
				qemuImg(t, append(slices.Clone(m.args), "-q", "-f", "qcow2", path, "6M")...)
			}
			if m.then != nil {
				m.then(t, path)
			}
			info, err := Inspect(path, "")
			if err != nil {
				t.Fatalf("a whole image is refused: %v", err)
			}
			if info.VirtualSize != madeSize || info.Partial {
				t.Errorf("read as %+v", info)
			}
			content, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			cutEverywhere(t, content)
			compareWithCheck(t, content, m.name == "with a snapshot" || m.name == "with a bitmap")
		})
	}
}

// span is a range of the file that an image refers to: how much of it must be
// there for the image to count as whole.
type span struct{ at, needed int }

// spans lists them, slowly and trusting the image, as the format's document
// says it.
func spans(b []byte) []span {
	be32 := func(at int) int { return int(binary.BigEndian.Uint32(b[at:])) }
	be64 := func(at int) int { return int(binary.BigEndian.Uint64(b[at:])) }
	offset := func(entry int) int { return entry & (1<<56 - 1) &^ 511 }

	shift := be32(20)
	cluster := 1 << shift
	entrySize := 8
	if be32(4) == 3 && be64(72)&16 != 0 {
		entrySize = 16
	}
	found := []span{{be64(40), be32(36) * 8}, {be64(48), be32(56) * cluster}}
	for i := range be32(56) * cluster / 8 {
		if at := be64(be64(48) + i*8); at != 0 {
			found = append(found, span{at, cluster})
		}
	}
	for i := range be32(36) {
		table := offset(be64(be64(40) + i*8))
		if table == 0 {
			continue
		}
		found = append(found, span{table, cluster})
		for j := range cluster / entrySize {
			entry := be64(table + j*entrySize)
			if entry>>62&1 == 1 {
				found = append(found, span{entry & (1<<(70-shift) - 1), 1})
			} else if offset(entry) != 0 {
				found = append(found, span{offset(entry), 1})
			}
		}
	}
	return found
}

// cutEverywhere compares the package's judgement with what the cut removes.
func cutEverywhere(t *testing.T, content []byte) {
	t.Helper()
	all := spans(content)
	cuts := []int{103, 104, len(content) - 1, len(content)}
	for _, s := range all {
		cuts = append(cuts, s.at-1, s.at, s.at+1, s.at+s.needed-1, s.at+s.needed)
	}
	slices.Sort(cuts)
	cuts = slices.Compact(cuts)
	if step := len(cuts)/1500 + 1; step > 1 { // some thousands of clusters of 512 bytes
		tail := cuts[len(cuts)-100:]
		for i := 0; i < len(cuts)-100; i += step {
			tail = append(tail, cuts[i])
		}
		cuts = tail
	}
	for _, size := range cuts {
		if size < 104 || size > len(content) {
			continue
		}
		lost := slices.ContainsFunc(all, func(s span) bool { return s.at+s.needed > size })
		_, err := examineBytes("image.qcow2", content[:size], "")
		if lost != errors.Is(err, ErrTruncated) || !lost && err != nil {
			t.Fatalf("cut at %d of %d, something is lost: %v, judged: %v", size, len(content), lost, err)
		}
	}
}

// compareWithCheck makes sure that whatever qemu-img check finds wrong with a
// cut image is found here. (It overlooks the loss of less than a cluster.)
func compareWithCheck(t *testing.T, content []byte, more bool) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "cut.qcow2")
	for _, part := range []float64{0.2, 0.5, 0.8, 0.99, 1} {
		size := int(part * float64(len(content)))
		writeFile(t, path, content[:size])
		status := checkStatus(t, path)
		_, err := Inspect(path, "")
		if good := status == 0 || status == 3; !good && err == nil && !more {
			t.Errorf("cut at %d: qemu-img check says %d and the image is accepted", size, status)
		}
		if part == 1 && (status != 0 || err != nil) {
			t.Errorf("whole: qemu-img check says %d and Inspect %v", status, err)
		}
	}
}
