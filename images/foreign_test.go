package images

import (
	"bytes"
	"encoding/binary"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// openForeign opens a file as who imports it does, and returns what it is.
func openForeign(path string, asked Format) (Info, error) {
	c, err := Open(path, Options{Format: asked, ReadOnly: true, Foreign: true})
	if err != nil {
		return Info{}, err
	}
	info := c.Top().Info
	return info, c.Close()
}

// TestForeignImagesAreKnown has qemu-img make what comes in, and what must not: a
// VMDK whose data lie in other files.
func TestForeignImagesAreKnown(t *testing.T) {
	t.Parallel()
	for spec, want := range map[string]Format{
		"vdi": VDI, "vdi static=on": VDI, "vhdx": VHDX, "vpc": VHD, "vpc subformat=fixed": VHD,
		"vmdk": VMDK, "vmdk subformat=monolithicSparse": VMDK, "vmdk subformat=streamOptimized": VMDK,
		"vmdk subformat=monolithicFlat": "", "vmdk subformat=twoGbMaxExtentSparse": "", "vmdk subformat=twoGbMaxExtentFlat": "",
		"qed": "", "parallels": "", "qcow": "",
	} {
		t.Run(spec, func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			path := filepath.Join(dir, "disk.img")
			driver, option, _ := strings.Cut(spec, " ")
			args := []string{"create", "-q", "-f", driver}
			if option != "" {
				args = append(args, "-o", option)
			}
			qemuImg(t, append(args, path, "4M")...)
			info, err := openForeign(path, "")
			if want == "" {
				wantKind(t, err, ErrUnsupported)
				return
			}
			if err != nil || info.Format != want {
				t.Fatalf("%+v, %v", info, err)
			}
			if _, err := openForeign(path, want); err != nil {
				t.Errorf("called by its format: %v", err)
			}
			for _, other := range []Format{QCOW2, Raw, VMDK, VDI, VHDX, VHD} {
				if other != want {
					_, err := openForeign(path, other)
					wantKind(t, err, ErrFormat)
				}
			}
			_, err = Open(path, Options{Foreign: true})
			wantKind(t, err, ErrUnsupported) // not to be written to
			raw := filepath.Join(dir, "disk.raw")
			if err := os.Rename(path, raw); err != nil {
				t.Fatal(err)
			}
			_, err = openForeign(raw, "")
			wantKind(t, err, ErrFormat)
		})
	}
}

// TestPartsOfDisks: what belongs to a disk in several files is none by itself.
func TestPartsOfDisks(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	path := func(name string) string { return filepath.Join(dir, name) }
	qemuImg(t, "create", "-q", "-f", "vmdk", "-o", "subformat=twoGbMaxExtentSparse", path("split.vmdk"), "4M")
	qemuImg(t, "create", "-q", "-f", "vmdk", path("base.vmdk"), "4M")
	qemuImg(t, "create", "-q", "-f", "vmdk", "-b", path("base.vmdk"), "-F", "vmdk", path("delta.vmdk"))
	for name, says := range map[string]string{"split-s001.vmdk": "a disk by itself", "delta.vmdk": "its parent"} {
		_, err := openForeign(path(name), "")
		wantKind(t, err, ErrUnsupported)
		if err != nil && (!strings.Contains(err.Error(), says) || !strings.Contains(err.Error(), path(name))) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// spoiled is a copy of an image with some bytes replaced.
func spoiled(image []byte, at int, by string) []byte {
	image = bytes.Clone(image)
	copy(image[at:], by)
	return image
}

// TestHostileHeaders: whatever the header says, no other file is opened for it.
func TestHostileHeaders(t *testing.T) {
	t.Parallel()
	vmdk := foreignBytes(t, "vmdk")
	offset := int(binary.LittleEndian.Uint64(vmdk[vmdkDescOffset:])) * sectorSize
	text, _, _ := bytes.Cut(vmdk[offset:], []byte{0})
	change := func(old, by string) []byte {
		changed := strings.Replace(string(text), old, by, 1)
		if changed == string(text) {
			t.Fatalf("the descriptor lacks %q:\n%s", old, text)
		}
		return spoiled(vmdk, offset, changed+"\x00")
	}
	vhd := foreignBytes(t, "vpc")
	differencing := spoiled(spoiled(vhd, vhdType, "\x00\x00\x00\x04"), len(vhd)-sectorSize+vhdType, "\x00\x00\x00\x04")
	for name, c := range map[string]struct {
		image []byte
		kind  error
	}{
		"as it was made":               {vmdk, nil},
		"no capacity":                  {spoiled(vmdk, vmdkCapacity, strings.Repeat("\x00", 8)), ErrUnsupported},
		"no descriptor":                {spoiled(vmdk, vmdkDescOffset, strings.Repeat("\x00", 8)), ErrUnsupported},
		"descriptor of no size":        {spoiled(vmdk, vmdkDescSize, strings.Repeat("\x00", 8)), ErrUnsupported},
		"descriptor beyond the end":    {spoiled(vmdk, vmdkDescOffset, strings.Repeat("\xff", 8)), ErrCorrupt},
		"descriptor of 8 EiB":          {spoiled(vmdk, vmdkDescSize, strings.Repeat("\xff", 8)), ErrCorrupt},
		"another file's extent":        {change(`"monolithicSparse"`, `"monolithicFlat"`), ErrUnsupported},
		"two extents":                  {change("RW ", "RW 1 FLAT \"/etc/passwd\" 0\nRW "), ErrUnsupported},
		"a parent's name":              {change("# Extent description", "parentFileNameHint=\"/etc/passwd\"\n"), ErrUnsupported},
		"a parent's number":            {change("parentCID=ffffffff", "parentCID=00000000"), ErrUnsupported},
		"a parent where QEMU looks":    {spoiled(spoiled(vmdk, vmdkDescOffset, "\x09"), 9*sectorSize, string(text)), ErrUnsupported},
		"no createType":                {change("createType", "createtipe"), ErrUnsupported},
		"a text":                       {sectors("# Disk DescriptorFile\nRW 1 FLAT \"/etc/passwd\" 0\n"), ErrUnsupported},
		"an extent of ESX":             {sectors("COWD"), ErrUnsupported},
		"half a header":                {[]byte("KDMV\x01"), ErrTruncated},
		"VHD that needs another":       {differencing, ErrUnsupported},
		"VHD of no type":               {spoiled(vhd, len(vhd)-sectorSize+vhdType, "\x00\x00\x00\x09"), ErrCorrupt},
		"VDI that is cut short":        {half(foreignBytes(t, "vdi", "-o", "static=on")), ErrTruncated},
		"VDI whose table is not there": {spoiled(foreignBytes(t, "vdi"), vdiBlocks, "\x00\x00\xff\x1f"), ErrTruncated},
		"half a VDI's header":          {sectors(strings.Repeat("\x00", 64) + "\x7f\x10\xda\xbe")[:200], ErrTruncated},
		"VDI with blocks of no length": {spoiled(foreignBytes(t, "vdi"), vdiBlockSize, "\x00\x00\x00\x00"), nil}, // the driver refuses it
	} {
		if name == "a parent where QEMU looks" {
			copy(c.image[sectorSize:], "parentFileNameHint=\"/etc/passwd\"\n\x00")
		}
		_, err := examineAny("disk.img", bytes.NewReader(c.image), int64(len(c.image)), false, "")
		if t.Run(name, func(t *testing.T) { wantKind(t, err, c.kind) }); err != nil && !strings.Contains(err.Error(), "disk.img") {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func half(image []byte) []byte { return image[:len(image)/2] }

// foreignBytes is an image of 4 MiB that qemu-img makes.
func foreignBytes(t testing.TB, driver string, args ...string) []byte {
	t.Helper()
	path := filepath.Join(t.TempDir(), "disk.img")
	qemuImg(t, append(append([]string{"create", "-q", "-f", driver}, args...), path, "4M")...)
	content, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return content
}

// FuzzForeign: an image that is admitted for conversion is one file by what its
// header says, in whatever way QEMU reads that.
func FuzzForeign(f *testing.F) {
	paths, err := filepath.Glob("testdata/*.foreign")
	if err != nil || len(paths) == 0 {
		f.Fatalf("no seeds: %v", err)
	}
	for _, path := range paths {
		content, err := os.ReadFile(path)
		if err != nil {
			f.Fatal(err)
		}
		f.Add("", content)
		f.Add("vmdk", content[:len(content)*2/3])
	}
	f.Add("", []byte("# Disk DescriptorFile\nRW 1 FLAT \"/etc/passwd\" 0\n"))
	f.Fuzz(func(t *testing.T, asked string, content []byte) {
		info, err := examineAny("disk.img", bytes.NewReader(content), int64(len(content)), false, Format(asked))
		if err != nil {
			var e *Error
			if !errors.As(err, &e) || e.Kind == nil || e.Detail == "" || e.Path != "disk.img" {
				t.Fatalf("an error without its parts: %#v", err)
			}
			return
		}
		if info.Format == VMDK {
			mustBeOneFile(t, content)
		}
	})
}

// mustBeOneFile looks for what has QEMU's driver open other files, in the driver's
// own way: by plain search in a fixed place.
func mustBeOneFile(t *testing.T, vmdk []byte) {
	t.Helper()
	if !bytes.HasPrefix(vmdk, []byte("KDMV")) || len(vmdk) < vmdkHeaderSize || bytes.Equal(vmdk[12:20], make([]byte, 8)) {
		t.Fatal("admitted, and QEMU reads it as a text that names files")
	}
	text, _, _ := bytes.Cut(vmdk[min(512, len(vmdk)):min(512+20*512, len(vmdk))], []byte{0})
	if bytes.Contains(text, []byte("parentFileNameHint")) {
		t.Fatal("admitted, and QEMU finds a parent")
	}
}
