package images

import (
	"bytes"
	"errors"
	"path/filepath"
	"strings"
	"testing"
)

// sectors pads content to whole sectors, at least 128 of them.
func sectors(start string) []byte {
	return append([]byte(start), make([]byte, k64-len(start)%sectorSize)...)
}

func ending(magic string) []byte {
	b := make([]byte, k64)
	copy(b[k64-sectorSize:], magic)
	return b
}

func TestFormatIsAskedForOrProven(t *testing.T) {
	qcow2 := string(overlayBytes(t, Overlay{VirtualSize: 1 << 20}))
	zeros := sectors("")
	tests := []struct {
		name    string
		content []byte
		asked   Format
		want    Format
		kind    error
		says    string
	}{
		{"disk.qcow2", []byte(qcow2), "", QCOW2, nil, ""},
		{"disk.img", []byte(qcow2), "", QCOW2, nil, ""},
		{"disk.img", []byte(qcow2), QCOW2, QCOW2, nil, ""},
		{"disk.raw", []byte(qcow2), QCOW2, QCOW2, nil, ""},
		{"disk.raw", []byte(qcow2), "", "", ErrFormat, "--format qcow2"},
		{"disk.img", []byte(qcow2), Raw, "", ErrFormat, "a guest can write such a header"},

		{"disk.raw", zeros, "", Raw, nil, ""},
		{"disk.img", zeros, Raw, Raw, nil, ""},
		{"disk.qcow2", zeros, Raw, Raw, nil, ""},
		{"disk.img", zeros, "", "", ErrFormat, "--format raw"},
		{"disk.qcow2", zeros, "", "", ErrFormat, "--format raw"},
		{"disk.RAW", zeros, "", "", ErrFormat, "--format raw"},
		{"disk.raw", zeros, QCOW2, "", ErrFormat, "--format raw"},
		{"disk.raw", zeros[:513], "", "", ErrTruncated, "truncate -s %512"},
		{"disk.raw", nil, "", "", ErrEmpty, "empty"},
		{"disk.qcow2", nil, QCOW2, "", ErrEmpty, "empty"},
		{"disk.img", zeros, "vmdk", "", ErrUnsupported, "qemu-img convert"},

		{"notes", []byte("host names\nüber alles\n"), "", "", ErrFormat, "text file"},
		{"notes", []byte(strings.Repeat("ü", 300)), "", "", ErrFormat, "text file"},
		{"x" + strings.Repeat("ü", 9), []byte("x" + strings.Repeat("ü", 300)), "", "", ErrFormat, "text file"},
		{"disk.qcow2", []byte("\n<!DOCTYPE HTML><title>404"), "", "", ErrFormat, "download failed"},
		{"disk.qcow2.gz", sectors("\x1f\x8b\x08"), "", "", ErrFormat, "gunzip"},
		{"disk.qcow2.xz", sectors("\xfd7zXZ\x00"), QCOW2, "", ErrFormat, "unxz"},
		{"disk.raw", sectors("\x1f\x8b\x08"), "", Raw, nil, ""}, // a guest's disk may hold a bare archive
		{"cd.iso", sectors(strings.Repeat("\x00", 32769) + "CD001"), "", "", ErrFormat, "--format raw"},
		{"cd.iso", sectors(strings.Repeat("\x00", 32769) + "CD001"), Raw, Raw, nil, ""},
	}
	for _, test := range tests {
		t.Run(test.name+" as "+string(test.asked), func(t *testing.T) {
			info, err := examineBytes(test.name, test.content, test.asked)
			wantKind(t, err, test.kind)
			if err == nil && info.Format != test.want {
				t.Errorf("taken for %q, which is %q", info.Format, test.want)
			}
			if err != nil && !strings.Contains(err.Error(), test.says) {
				t.Errorf("%q does not speak of %q", err, test.says)
			}
		})
	}
}

// TestForeignFormats: each other format is named, with the way to convert it,
// and is never taken for raw.
func TestForeignFormats(t *testing.T) {
	contents := map[string][]byte{
		"qcow": sectors("QFI\xfb\x00\x00\x00\x01"), "qed": sectors("QED\x00"),
		"vmdk": sectors("KDMV"), "vdi": sectors(strings.Repeat("\x00", 64) + "\x7f\x10\xda\xbe"),
		"vpc": sectors("conectix"), "vhdx": sectors("vhdxfile"),
		"parallels": sectors("WithoutFreeSpace"), "bochs": sectors("Bochs Virtual HD Image"), "dmg": ending("koly"),
	}
	for driver, content := range contents {
		_, err := examineBytes("disk.img", content, "")
		wantKind(t, err, ErrUnsupported)
		if want := "qemu-img convert -f " + driver + " -O qcow2 disk.img "; err != nil && !strings.Contains(err.Error(), want) {
			t.Errorf("%q does not advise %q", err, want)
		}
		_, err = examineBytes("disk.raw", content, "")
		wantKind(t, err, ErrFormat)
		_, err = examineBytes("disk.img", content, Raw)
		wantKind(t, err, ErrFormat)
		_, err = examineBytes("disk.img", content, QCOW2)
		wantKind(t, err, ErrFormat)
	}
	for _, content := range [][]byte{
		sectors("LUKS\xba\xbe"), sectors("# Disk DescriptorFile\n"), sectors("COWD"), sectors("WithouFreSpacExt"), ending("conectix"),
	} {
		_, err := examineBytes("disk.raw", content, Raw)
		wantKind(t, err, ErrFormat)
	}
}

// TestForeignImagesOfQEMU has qemu-img make what is to be recognised.
func TestForeignImagesOfQEMU(t *testing.T) {
	for _, args := range [][]string{
		{"qcow"}, {"qed"}, {"vdi"}, {"vhdx"}, {"parallels"},
		{"vmdk"}, {"vmdk", "-o", "subformat=monolithicFlat"}, {"vmdk", "-o", "subformat=streamOptimized"},
		{"vpc"}, {"vpc", "-o", "subformat=fixed"},
	} {
		t.Run(strings.Join(args, " "), func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "disk")
			qemuImg(t, append(append([]string{"create", "-q", "-f"}, args...), path, "4M")...)
			_, err := Inspect(path, "")
			wantKind(t, err, ErrUnsupported)
			_, err = Inspect(path, Raw)
			wantKind(t, err, ErrFormat)
		})
	}
}

// failing is a disk with a fault: all reads from a place on fail.
type failing struct {
	*bytes.Reader
	from int64
}

var errFault = errors.New("input/output error")

func (f failing) ReadAt(p []byte, at int64) (int, error) {
	if at+int64(len(p)) > f.from {
		return 0, errFault
	}
	return f.Reader.ReadAt(p, at)
}

func TestReadErrorsAreNotTruncation(t *testing.T) {
	content := overlayBytes(t, Overlay{VirtualSize: 1 << 20})
	for _, from := range []int64{0, k64, 3 * k64} {
		r := failing{bytes.NewReader(content), from}
		_, err := examine("disk.qcow2", r, int64(len(content)), false, "")
		wantKind(t, err, ErrRead)
		if !errors.Is(err, errFault) {
			t.Errorf("%v hides its cause", err)
		}
	}
}

func TestFileThatShrinksMeanwhile(t *testing.T) {
	content := overlayBytes(t, Overlay{VirtualSize: 1 << 20})
	_, err := examine("disk.qcow2", bytes.NewReader(content[:3*k64]), int64(len(content)), false, "")
	wantKind(t, err, ErrTruncated)
}
