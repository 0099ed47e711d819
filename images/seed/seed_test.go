package seed

import (
	"bytes"
	"errors"
	"io"
	"os"
	"strings"
	"testing"

	"github.com/diskfs/go-diskfs/backend/file"
	"github.com/diskfs/go-diskfs/filesystem/iso9660"
	"golang.org/x/sys/unix"
)

// TestNew reads back what is on the disk. That a guest finds it is for tests/e2e.
func TestNew(t *testing.T) {
	folder := t.TempDir()
	want := Files{
		MetaData: []byte("instance-id: a\n"), UserData: []byte(""),
		VendorData: bytes.Repeat([]byte("v"), 5000), NetworkConfig: []byte("version: 2\n"),
	}
	seed, err := New(folder, want)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = seed.Close() }()
	size, err := seed.Seek(0, io.SeekEnd)
	if err != nil {
		t.Fatal(err)
	}
	if size%512 != 0 {
		t.Errorf("it has %d bytes, which is no whole number of sectors", size)
	}
	fs, err := iso9660.Read(file.New(seed, true), size, 0, 0)
	if err != nil {
		t.Fatal(err)
	}
	if label := strings.TrimRight(fs.Label(), " \x00"); label != Label {
		t.Errorf("its label is %q", label)
	}
	for name, put := range want.All() {
		content, err := fs.ReadFile(name)
		if err != nil || !bytes.Equal(content, put) {
			t.Errorf("%s: %.20q, %v", name, content, err)
		}
	}
	if left, err := os.ReadDir(folder); err != nil || len(left) > 0 {
		t.Errorf("left in the folder: %v, %v", left, err)
	}
	if _, err := seed.WriteAt([]byte("x"), 0); !errors.Is(err, unix.EBADF) {
		t.Errorf("writing to it: %v", err)
	}
}

func TestNewLeavesOut(t *testing.T) {
	seed, err := New(t.TempDir(), Files{MetaData: []byte("{}")})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = seed.Close() }()
	size, _ := seed.Seek(0, io.SeekEnd)
	fs, err := iso9660.Read(file.New(seed, true), size, 0, 0)
	if err != nil {
		t.Fatal(err)
	}
	entries, err := fs.ReadDir(".")
	var names []string
	for _, e := range entries {
		names = append(names, e.Name())
	}
	if err != nil || strings.Join(names, " ") != "meta-data user-data" {
		t.Errorf("on it: %q, %v", names, err)
	}
}

func TestNewRefuses(t *testing.T) {
	folder := t.TempDir()
	if _, err := New(folder, Files{UserData: make([]byte, MaxFile+1)}); err == nil || !strings.Contains(err.Error(), "user-data has 1048577 bytes") {
		t.Errorf("a document that is too large: %v", err)
	}
	if _, err := New(folder+"/none", Files{}); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("a folder that is not there: %v", err)
	}
}
