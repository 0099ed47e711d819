package store

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"strings"

	"kvmrun/images"
)

// Remove takes a name away, and with the last name of a blob the blob. It fails
// with images.ErrInUse, and removes nothing, while somebody needs that.
func (s *Store) Remove(ctx context.Context, name string) error {
	if err := checkName(name); err != nil {
		return err
	}
	if there, err := s.exists(); err != nil || !there {
		return errors.Join(err, noImage(name))
	}
	guard, err := s.lock(ctx)
	if err != nil {
		return err
	}
	defer func() { _ = guard.Close() }()
	r, err := s.read(name)
	if errors.Is(err, ErrRecord) && !errors.Is(err, errNewer) {
		return s.forget(name) // which blob it had, nobody knows; prune finds it
	}
	if err != nil {
		return err
	}
	others, err := s.otherName(r)
	if err != nil || others {
		// With a record that cannot be read the blob may have another name, too.
		return s.forget(name)
	}
	if err := s.unneeded(name, r.Digest); err != nil {
		return err
	}
	if err := s.forget(name); err != nil {
		return err
	}
	return s.discard(r.Digest)
}

// otherName tells whether a blob has a name beside that of a record.
func (s *Store) otherName(r record) (bool, error) {
	all, err := s.records()
	for _, other := range all {
		if other.Digest == r.Digest && other.Name != r.Name {
			return true, nil
		}
	}
	return false, err
}

// unneeded makes sure that nobody needs a blob. The caller holds the lock.
func (s *Store) unneeded(name string, d Digest) error {
	users, err := s.users()
	if err != nil {
		return err
	}
	if by := users[d]; len(by) > 0 {
		return imageError(name, images.ErrInUse, nil, "stop or remove who needs it first", strings.Join(by, ", ")+" needs it")
	}
	open, err := s.opened(d)
	if err != nil || !open {
		return err
	}
	return imageError(name, images.ErrInUse, nil, "end that QEMU first", "a QEMU that is no VM of this run directory has it open")
}

// opened tells by QEMU's locks whether one has the blob open. One that is only
// just starting has none yet.
func (s *Store) opened(d Digest) (bool, error) {
	f, err := os.Open(s.blob(d))
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	defer func() { _ = f.Close() }()
	return images.Locked(f, true)
}

// discard removes a blob.
func (s *Store) discard(d Digest) error {
	if err := os.Remove(s.blob(d)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return sync(s.blobs())
}

// release removes a blob that has lost a name, if it has no other and nobody needs
// it. The caller holds the lock.
func (s *Store) release(d Digest) error {
	if others, err := s.otherName(record{Digest: d}); err != nil || others {
		return err
	}
	if err := s.unneeded(string(d), d); err != nil {
		return err
	}
	return s.discard(d)
}
