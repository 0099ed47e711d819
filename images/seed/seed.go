// Package seed makes the disk from which a guest's cloud-init learns what it is
// to be: its NoCloud data source looks for a file system labelled cidata with a
// few files of fixed names (cloud-init's documentation, "NoCloud").
package seed

import (
	"errors"
	"fmt"
	"iter"
	"os"
	"path/filepath"

	"github.com/diskfs/go-diskfs/backend/file"
	"github.com/diskfs/go-diskfs/filesystem/iso9660"
	"golang.org/x/sys/unix"
)

// Label is the name of the file system by which NoCloud finds it.
const Label = "cidata"

// sectorSize is that of an ISO 9660 file system, in bytes (ECMA-119, 6.1.2).
const sectorSize = 2048

// MaxFile is how large one document may be, in bytes: more than any person writes,
// and little enough to be made in memory.
const MaxFile = 1 << 20

// Files are the documents of NoCloud. MetaData and UserData must be there, if only
// empty, for cloud-init to take the disk for a seed; a nil one of the others is left
// out.
type Files struct {
	MetaData      []byte // meta-data: who the machine is
	UserData      []byte // user-data: what its owner wants of it
	VendorData    []byte // vendor-data: what whoever starts it wants, if the owner wants nothing else
	NetworkConfig []byte // network-config
}

// All are the files that there are, by their names on the disk.
func (f Files) All() iter.Seq2[string, []byte] {
	return func(yield func(string, []byte) bool) {
		_ = yield("meta-data", f.MetaData) && yield("user-data", f.UserData) &&
			(f.VendorData == nil || yield("vendor-data", f.VendorData)) &&
			(f.NetworkConfig == nil || yield("network-config", f.NetworkConfig))
	}
}

// New makes a seed of an ISO 9660 file system with Rock Ridge names. It has no name
// itself (memfd_create(2)) and vanishes with its last descriptor; nobody can write to
// it any more. The documents, which may hold secrets, lie for a moment in a folder of
// the caller's, which must be readable by nobody else. The caller owns the file.
func New(folder string, files Files) (*os.File, error) {
	seed, err := build(folder, files)
	if err != nil {
		return nil, fmt.Errorf("make the seed disk: %w", err)
	}
	return seed, nil
}

func build(folder string, files Files) (*os.File, error) {
	for name, content := range files.All() {
		if len(content) > MaxFile {
			return nil, fmt.Errorf("%s has %d bytes, and %d are allowed", name, len(content), MaxFile)
		}
	}
	fd, err := unix.MemfdCreate("seed", unix.MFD_CLOEXEC|unix.MFD_ALLOW_SEALING)
	if err != nil {
		return nil, fmt.Errorf("memfd_create: %w", err)
	}
	seed := os.NewFile(uintptr(fd), "seed")
	if err := fill(seed, folder, files); err != nil {
		return nil, errors.Join(err, seed.Close())
	}
	const seals = unix.F_SEAL_WRITE | unix.F_SEAL_SHRINK | unix.F_SEAL_GROW | unix.F_SEAL_SEAL
	if _, err := unix.FcntlInt(seed.Fd(), unix.F_ADD_SEALS, seals); err != nil {
		return nil, errors.Join(fmt.Errorf("seal it: %w", err), seed.Close())
	}
	// QEMU takes a descriptor that is open for writing for no read-only disk.
	readOnly, err := os.Open(fmt.Sprintf("/proc/self/fd/%d", fd))
	return readOnly, errors.Join(err, seed.Close())
}

// fill writes the file system.
func fill(seed *os.File, folder string, files Files) error {
	workspace, err := os.MkdirTemp(folder, ".seed-*")
	if err != nil {
		return err
	}
	defer func() { _ = os.RemoveAll(workspace) }()
	for name, content := range files.All() {
		if err := os.WriteFile(filepath.Join(workspace, name), content, 0o600); err != nil {
			return err
		}
	}
	fs, err := iso9660.Create(file.New(seed, false), 0, 0, sectorSize, workspace)
	if err != nil {
		return err
	}
	return fs.Finalize(iso9660.FinalizeOptions{VolumeIdentifier: Label, RockRidge: true})
}
