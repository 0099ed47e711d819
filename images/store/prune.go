package store

import (
	"context"
	"errors"
	"io/fs"
	"path/filepath"
)

// Litter is something in the store that nobody needs.
type Litter struct {
	Path string `json:"path"`
	// Digest is a blob's; empty for what an import has left that was killed.
	Digest Digest `json:"digest,omitempty"`
	Size   int64  `json:"size"` // bytes of the host's disk
	// Removed says that it is gone, which it is not in a dry run.
	Removed bool `json:"removed"`
}

// Prune removes blobs that have no name and that nobody needs, and what imports
// have left that were killed. With dryRun it only lists them. It goes on where
// something fails; the error joins all that did.
func (s *Store) Prune(ctx context.Context, dryRun bool) ([]Litter, error) {
	if there, err := s.exists(); err != nil || !there {
		return []Litter{}, err
	}
	found := []Litter{}
	err := s.abandoned(func(path string) bool {
		found = append(found, Litter{Path: path, Size: sizeOf(path), Removed: !dryRun})
		return !dryRun
	})
	blobs, err2 := s.pruneBlobs(ctx, dryRun)
	return append(found, blobs...), errors.Join(err, err2)
}

// pruneBlobs needs to know all names: a record that cannot be read may be that of
// any blob.
func (s *Store) pruneBlobs(ctx context.Context, dryRun bool) ([]Litter, error) {
	guard, err := s.lock(ctx)
	if err != nil {
		return nil, err
	}
	defer func() { _ = guard.Close() }()
	named, err := s.records()
	if err != nil {
		return nil, err
	}
	users, err := s.users()
	if err != nil {
		return nil, err
	}
	keep := map[Digest]bool{}
	for _, r := range named {
		keep[r.Digest] = true
	}
	blobs, err := s.listBlobs()
	errs := []error{err}
	var found []Litter
	for _, d := range blobs {
		if keep[d] || len(users[d]) > 0 {
			continue
		}
		one, err := s.pruneBlob(d, dryRun)
		errs = append(errs, err)
		if one != nil {
			found = append(found, *one)
		}
	}
	return found, errors.Join(errs...)
}

// pruneBlob removes a blob without a name, unless a QEMU has it open.
func (s *Store) pruneBlob(d Digest, dryRun bool) (*Litter, error) {
	if open, err := s.opened(d); err != nil || open {
		return nil, err
	}
	size, err := s.occupied(d)
	if err != nil {
		return nil, err
	}
	found := &Litter{Path: s.blob(d), Digest: d, Size: size}
	if dryRun {
		return found, nil
	}
	err = s.discard(d)
	found.Removed = err == nil
	return found, err
}

// sizeOf is how much of the disk a folder's files take. What vanishes meanwhile
// takes nothing.
func sizeOf(dir string) (bytes int64) {
	_ = filepath.WalkDir(dir, func(_ string, e fs.DirEntry, err error) error {
		if err != nil {
			return nil
		}
		if info, err := e.Info(); err == nil && info.Mode().IsRegular() {
			bytes += allocated(info)
		}
		return nil
	})
	return bytes
}
