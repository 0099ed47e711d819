package store

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
)

// blobSuffix ends the file names of blobs.
const blobSuffix = ".qcow2"

// blobMode is a blob's. The store's folder keeps strangers away; qemu-img, which
// checks blobs as a user without rights, reads one through a descriptor.
const blobMode fs.FileMode = 0o444

func (s *Store) blob(d Digest) string { return filepath.Join(s.blobs(), d.hex()+blobSuffix) }

// digestOfPath is the digest in a blob's file name, if it is one.
func digestOfPath(path string) (Digest, bool) {
	digits, ok := strings.CutSuffix(filepath.Base(path), blobSuffix)
	if !ok {
		return "", false
	}
	d, err := ParseDigest(digestPrefix + digits)
	return d, err == nil
}

// DigestOf tells whether a path leads to one of the store's blobs, by whatever
// links or mounts, and to which.
func (s *Store) DigestOf(path string) (Digest, bool) {
	real, err := filepath.EvalSymlinks(path)
	if err != nil {
		return "", false
	}
	d, ok := digestOfPath(real)
	if !ok {
		return "", false
	}
	one, err := os.Stat(real)
	if err != nil {
		return "", false
	}
	other, err := os.Lstat(s.blob(d))
	return d, err == nil && os.SameFile(one, other)
}

// occupied is how much of the disk a blob takes, in bytes.
func (s *Store) occupied(d Digest) (int64, error) {
	info, err := os.Lstat(s.blob(d))
	if err != nil {
		return 0, err
	}
	return allocated(info), nil
}

// has tells whether there is such a blob.
func (s *Store) has(d Digest) bool {
	info, err := os.Lstat(s.blob(d))
	return err == nil && info.Mode().IsRegular()
}

func allocated(info fs.FileInfo) int64 {
	if stat, ok := info.Sys().(*syscall.Stat_t); ok {
		return stat.Blocks * 512 // stat(2)
	}
	return info.Size()
}

// put makes a file the blob of a digest, in one step. The file is whole and on the
// disk. A blob that is there already stays, for a guest may run from it, unless
// somebody has cut it short.
func (s *Store) put(d Digest, file string) error {
	fresh, err := os.Lstat(file)
	if err != nil {
		return err
	}
	if was, err := os.Lstat(s.blob(d)); err == nil && was.Mode().IsRegular() && was.Size() == fresh.Size() {
		return nil
	}
	if err := os.Rename(file, s.blob(d)); err != nil {
		return err
	}
	return sync(s.blobs())
}

// listBlobs returns the digests of all blobs, in order. What else lies there is
// somebody else's.
func (s *Store) listBlobs() ([]Digest, error) {
	entries, err := os.ReadDir(s.blobs())
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	var found []Digest
	for _, e := range entries {
		if d, ok := digestOfPath(e.Name()); ok {
			found = append(found, d)
		}
	}
	slices.Sort(found)
	return found, err
}

// users are those who need blobs.
type users map[Digest][]string

// of are the users of one, in words. It is never nil, so that JSON has a list.
func (u users) of(d Digest) []string { return append([]string{}, u[d]...) }

// users asks who needs which blob.
func (s *Store) users() (users, error) {
	found := users{}
	if s.options.Uses == nil {
		return found, nil
	}
	uses, err := s.options.Uses()
	for _, use := range uses {
		if !slices.Contains(found[use.Digest], use.By) {
			found[use.Digest] = append(found[use.Digest], use.By)
		}
	}
	return found, err
}
