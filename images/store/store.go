// Package store keeps disk images by name.
//
// The content of an image is a blob: a qcow2 file that never changes, called by
// its SHA-256. A name is a small record that leads to one. So two names of the
// same content cost one file, and whoever has a blob's path has what was
// imported, or nothing.
//
// Nothing in a process's memory matters. Any number of processes may use one
// store at once, and each may be killed at any time: a blob appears by a rename
// when it is whole and on the disk, its name after it. What is left of an import
// that was killed lies in a folder of its own, whose lock nobody holds any more,
// and goes with the next import.
//
// The package knows no VM. Who needs an image it learns by Options.Uses.
package store

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"kvmrun/images"
)

// Options are what a store needs of its user.
type Options struct {
	// QEMUImg is the program that converts and checks; "qemu-img" if empty.
	QEMUImg string
	// User chooses the number of a user and group whom nothing else runs as, for
	// qemu-img. It is not called where the process is not root's. Nil: qemu-img
	// runs as the process's own user.
	User func() (uint32, error)
	// Uses lists who needs which blob. It is asked under the store's lock. Nil:
	// nobody does.
	Uses func() ([]Use, error)
}

// Use says that somebody needs a blob.
type Use struct {
	Digest Digest
	By     string // in words: "VM web"
}

// Store is a handle on a folder with images. It holds no resources.
type Store struct {
	dir     string
	options Options
}

// New names a store. Nothing is created before something is imported. The path is
// absolute.
func New(dir string, o Options) *Store {
	if o.QEMUImg == "" {
		o.QEMUImg = "qemu-img"
	}
	return &Store{dir: dir, options: o}
}

// Image is an image that has a name.
type Image struct {
	Name   string `json:"name"`
	Digest Digest `json:"digest"` // of the blob
	// VirtualSize is the size of the disk that a guest sees, in bytes.
	VirtualSize int64 `json:"virtual_size"`
	// Size is how much of the host's disk the blob occupies, in bytes; 0 if it is
	// missing.
	Size     int64     `json:"size"`
	Source   Source    `json:"source"`
	Imported time.Time `json:"imported"`
	// Path is the blob's, Missing says that there is no file.
	Path    string `json:"path"`
	Missing bool   `json:"missing,omitempty"`
	// UsedBy are those who need it, in words.
	UsedBy []string `json:"used_by"`
}

// Source is where an image came from.
type Source struct {
	// From is the path of a file or a URL.
	From string `json:"from"`
	// Digest is that of the file that was read. It is empty for one that was
	// flattened together with its backing files, and for one with very large holes.
	Digest Digest `json:"digest,omitempty"`
	// Fetched is the digest of what lay at From, before it was unpacked, with its
	// kind; empty for a file that was imported from its own place.
	Fetched string `json:"fetched,omitempty"`
	// Format is what the file was.
	Format images.Format `json:"format"`
}

// The kinds of failure of the store's own, for errors.Is. The error is an
// *images.Error, whose Path is the image's name.
var (
	// ErrNoImage: the store has no image of that name.
	ErrNoImage = errors.New("no such image in the store")
	// ErrExists: the name has another content.
	ErrExists = errors.New("image name is taken")
	// ErrName: no image can have that name.
	ErrName = errors.New("image name")
	// ErrRecord: a name's record is not what is written there.
	ErrRecord = errors.New("image record is damaged")
	// ErrChanged: the source is not what it should be, or was written to meanwhile.
	ErrChanged = errors.New("image changed")
	// ErrNoConverter: there is no qemu-img that can be run.
	ErrNoConverter = errors.New("no qemu-img")
	// ErrConverterDied: qemu-img was killed, or would need too much memory. Of the image
	// that says nothing for certain.
	ErrConverterDied = errors.New("qemu-img was killed")
	// ErrBusy: somebody keeps the store's lock.
	ErrBusy = errors.New("image store is locked")
)

// imageError is a failure that has to do with an image of the store.
func imageError(name string, kind, cause error, advice, detail string) *images.Error {
	return &images.Error{Path: name, Kind: kind, Err: cause, Detail: detail, Advice: advice}
}

func (s *Store) blobs() string   { return filepath.Join(s.dir, "blobs") }
func (s *Store) names() string   { return filepath.Join(s.dir, "names") }
func (s *Store) partial() string { return filepath.Join(s.dir, "partial") }

// make creates the store's folders. That of the store keeps everybody else away
// from what is in it, whatever a blob's own mode is.
func (s *Store) make() error {
	if err := os.MkdirAll(s.dir, 0o700); err != nil {
		return err
	}
	if err := os.Chmod(s.dir, 0o700); err != nil {
		return err
	}
	for _, dir := range []string{s.blobs(), s.names(), s.partial()} {
		if err := os.Mkdir(dir, 0o700); err != nil && !errors.Is(err, fs.ErrExist) {
			return err
		}
	}
	return nil
}

// exists tells whether anything was ever imported.
func (s *Store) exists() (bool, error) {
	_, err := os.Stat(s.names())
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	return err == nil, err
}

// sync forces what was done in a folder to the disk.
func sync(dir string) error {
	f, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(f.Sync(), f.Close())
}

// List returns the images in the order of their names. Those whose record cannot
// be read are left out, and the error joins why.
func (s *Store) List() ([]Image, error) {
	names, err := s.Names()
	if err != nil {
		return nil, err
	}
	users, err := s.users()
	errs := []error{err}
	found := make([]Image, 0, len(names))
	for _, name := range names {
		r, err := s.read(name)
		switch {
		case errors.Is(err, ErrNoImage): // removed meanwhile
		case err != nil:
			errs = append(errs, err)
		default:
			found = append(found, s.image(r, users))
		}
	}
	return found, errors.Join(errs...)
}

// Get returns one image. It fails with ErrNoImage if there is none of that name.
func (s *Store) Get(name string) (Image, error) {
	r, err := s.read(name)
	if err != nil {
		return Image{}, err
	}
	users, err := s.users()
	return s.image(r, users), err
}

// Path is the file to read an image from. It may be opened, and never be written
// to. The image may be removed as long as nobody is known to use it: see Hold.
func (s *Store) Path(name string) (string, error) {
	r, err := s.read(name)
	if err != nil {
		return "", err
	}
	path := s.blob(r.Digest)
	if _, err := os.Lstat(path); err != nil {
		return "", missing(name, err)
	}
	return path, nil
}

// Blob is the file with a content, whether there is one or not. It may be opened, and
// never be written to.
func (s *Store) Blob(d Digest) string { return s.blob(d) }

// Hold calls use with an image that is not removed meanwhile. It is for who makes
// a lasting use known, one that Options.Uses will list from then on.
func (s *Store) Hold(ctx context.Context, name string, use func(Image) error) error {
	guard, err := s.lock(ctx)
	if err != nil {
		return err
	}
	defer func() { _ = guard.Close() }()
	r, err := s.read(name)
	if err != nil {
		return err
	}
	i := s.image(r, nil)
	if i.Missing {
		return missing(name, fs.ErrNotExist)
	}
	return use(i)
}

// HandOver calls move while nobody asks who needs which image: for a use that Options.Uses
// lists and that becomes another's. If it were asked in between, it might see neither.
func (s *Store) HandOver(ctx context.Context, move func() error) error {
	guard, err := s.lock(ctx)
	if err != nil {
		return err
	}
	defer func() { _ = guard.Close() }()
	return move()
}

// missing says that a name leads nowhere, which only somebody else can bring about.
func missing(name string, cause error) error {
	return imageError(name, images.ErrNotExist, cause, "import it again under this name", "its content is gone from the store")
}

// image is what a record says, with what the blob and its users have to say.
func (s *Store) image(r record, users users) Image {
	i := Image{
		Name: r.Name, Digest: r.Digest, VirtualSize: r.VirtualSize, Source: r.Source,
		Imported: r.Imported, Path: s.blob(r.Digest), UsedBy: users.of(r.Digest),
	}
	size, err := s.occupied(r.Digest)
	i.Size, i.Missing = size, errors.Is(err, fs.ErrNotExist)
	return i
}
