package images

import (
	"encoding/binary"
	"strings"
	"testing"
)

// spoil is one change to a good image.
type spoil func([]byte) []byte

func put32(at int, v uint32) spoil {
	return func(b []byte) []byte { binary.BigEndian.PutUint32(b[at:], v); return b }
}

func put64(at int, v uint64) spoil {
	return func(b []byte) []byte { binary.BigEndian.PutUint64(b[at:], v); return b }
}

func cut(to int) spoil { return func(b []byte) []byte { return b[:to] } }

func all(spoils ...spoil) spoil {
	return func(b []byte) []byte {
		for _, s := range spoils {
			b = s(b)
		}
		return b
	}
}

const k64 = 64 << 10

func TestHeadersThatLie(t *testing.T) {
	const refTable, refBlock, l1, end = 1 * k64, 2 * k64, 3 * k64, 4 * k64
	tests := []struct {
		name  string
		spoil spoil
		kind  error
	}{
		{"untouched", all(), nil},
		{"dirty", put64(72, featureDirty), nil},
		{"unknown compatible feature", put64(80, 1<<63), nil},
		{"disk not of whole sectors", put64(24, 1<<20+7), nil},
		{"snapshots", put32(60, 3), nil},
		{"spare L1 entries", put32(36, 5000), nil},

		{"version 1", put32(4, 1), ErrUnsupported},
		{"version 4", put32(4, 4), ErrUnsupported},
		{"AES", put32(32, 1), ErrUnsupported},
		{"LUKS", put32(32, 2), ErrUnsupported},
		{"external data file", put64(72, featureDataFile), ErrUnsupported},
		{"unknown incompatible feature", put64(72, 1<<17), ErrUnsupported},
		{"unknown compression", all(put64(72, featureCompression), put32(100, 112), put32(104, 9<<24)), ErrUnsupported},
		{"compression without a field", put64(72, featureCompression), ErrCorrupt},
		{"marked corrupt", put64(72, featureCorrupt), ErrCorrupt},

		{"clusters of 256 bytes", put32(20, 8), ErrCorrupt},
		{"clusters of 4 MiB", put32(20, 22), ErrCorrupt},
		{"clusters of 2^4294967295", put32(20, 0xffffffff), ErrCorrupt},
		{"subclusters in clusters of 4 KiB", all(put64(72, featureExtendedL2), put32(20, 12)), ErrCorrupt},
		{"reference counts of 128 bits", put32(96, 7), ErrCorrupt},
		{"disk of no size", put64(24, 0), ErrEmpty},
		{"disk of less than a sector", put64(24, 511), ErrEmpty},
		{"disk of 2^64-1", put64(24, 1<<64-1), ErrCorrupt},
		{"disk of 2^63-1", put64(24, 1<<63-1), ErrCorrupt},
		{"disk beyond its L1 table", put64(24, 1<<40), ErrCorrupt},
		{"header length 0", put32(100, 0), ErrCorrupt},
		{"header length 4 GiB", put32(100, 0xffffffff), ErrCorrupt},
		{"header longer than its cluster", put32(100, k64+8), ErrCorrupt},

		{"no L1 entries", put32(36, 0), ErrCorrupt},
		{"L1 of 32 GiB", put32(36, 0xffffffff), ErrCorrupt},
		{"L1 at 0", put64(40, 0), ErrCorrupt},
		{"L1 askew", put64(40, l1+512), ErrCorrupt},
		{"L1 at 2^64", put64(40, 0xffffffffffff0000), ErrCorrupt},
		{"L1 at 2^63", put64(40, 0x7fffffffffff0000), ErrTruncated},
		{"L1 beyond the end", put64(40, end), ErrTruncated},
		{"L1 half beyond the end", put32(36, k64/8+1), ErrTruncated},
		{"no refcount table", put32(56, 0), ErrCorrupt},
		{"refcount table of 256 TiB", put32(56, 0xffffffff), ErrCorrupt},
		{"refcount table half beyond the end", put32(56, 4), ErrTruncated},
		{"refcount table at 2^63", put64(48, 0x7fffffffffff0000), ErrTruncated},
		{"refcount block askew", put64(refTable, refBlock+512), ErrCorrupt},
		{"refcount block beyond the end", put64(refTable, end), ErrTruncated},
		{"refcount block at 2^64", put64(refTable+8, 0xffffffffffff0000), ErrTruncated},
		{"L2 askew", put64(l1, l1+512), ErrCorrupt},
		{"L2 beyond the end", put64(l1, end), ErrTruncated},
		{"L2 at 2^56", put64(l1, 0x80ffffffffff0000), ErrTruncated},
		{"L2 in the last cluster", put64(l1, l1), nil}, // its entry is its own place
		{"data askew", all(put64(l1, refBlock), put64(refBlock, 1<<63|512)), ErrCorrupt},

		{"compressed data at 2^53", all(put64(l1, refBlock), put64(refBlock, 1<<62|1<<53)), ErrTruncated},
		{"refcount block half beyond the end", all(put64(refTable, l1), cut(l1+k64/2)), ErrTruncated},
		{"L2 half beyond the end", all(put64(l1, l1), cut(l1+k64/2)), ErrTruncated},

		{"backing name beyond the header", all(put64(8, k64-4), put32(16, 8)), ErrCorrupt},
		{"backing name at 2^64", all(put64(8, 1<<64-4), put32(16, 8)), ErrCorrupt},
		{"backing name of 4 GiB", all(put64(8, 200), put32(16, 0xffffffff)), ErrCorrupt},
		{"backing name of 1024 bytes", all(put64(8, 200), put32(16, 1024)), ErrCorrupt},
		{"extension of 4 GiB", all(put32(104, 0x6803f857), put32(108, 0xffffffff)), ErrCorrupt},
		{"extensions without end", put32(104, 0x6803f857), nil}, // the next is of kind 0

		{"cut after the magic", cut(4), ErrTruncated},
		{"cut in the fields of version 2", cut(71), ErrTruncated},
		{"cut in the fields of version 3", cut(103), ErrTruncated},
		{"cut after the header", cut(104), ErrTruncated},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			content := test.spoil(overlayBytes(t, Overlay{VirtualSize: 1 << 20}))
			info, err := examineBytes("image.qcow2", content, "")
			wantKind(t, err, test.kind)
			if err == nil && (info.VirtualSize != 1<<20 || info.ClusterSize != k64) {
				t.Errorf("a disk of %d bytes in clusters of %d", info.VirtualSize, info.ClusterSize)
			}
		})
	}
}

func TestHeaderNamesItsBackingFile(t *testing.T) {
	long := strings.Repeat("n", maxBackingName)
	for _, o := range []Overlay{
		{VirtualSize: 512, BackingFile: "base.qcow2", BackingFormat: QCOW2},
		{VirtualSize: 512, BackingFile: long, BackingFormat: Raw},
	} {
		info, err := examineBytes("image.qcow2", overlayBytes(t, o), "")
		if err != nil {
			t.Fatal(err)
		}
		if info.BackingFile != o.BackingFile || info.BackingFormat != o.BackingFormat {
			t.Errorf("read %q of format %q, wrote %q of format %q",
				info.BackingFile, info.BackingFormat, o.BackingFile, o.BackingFormat)
		}
	}
}

// TestHeaderErrorsHoldNoControlCharacters: what a header names is printed.
func TestErrorsHoldNoControlCharacters(t *testing.T) {
	e := &Error{Path: "a\x1b[2Jb\nc", Kind: ErrFormat, Detail: "detail"}
	if text := e.Error(); strings.ContainsAny(text, "\x1b\n") {
		t.Errorf("%q would disturb a terminal", text)
	}
}
