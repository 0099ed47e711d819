package store

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/google/renameio/v2"
)

// recordVersion is the version of records that this package writes. One of a
// higher version is refused, never misread.
const recordVersion = 1

// record is what a name leads to: names/NAME.json.
type record struct {
	Version     int       `json:"version"`
	Name        string    `json:"name"`
	Digest      Digest    `json:"digest"`
	VirtualSize int64     `json:"virtual_size"`
	Source      Source    `json:"source"`
	Imported    time.Time `json:"imported"`
}

// suffix ends the file names of records.
const suffix = ".json"

// maxRecord is more than any record has, in bytes.
const maxRecord = 64 << 10

// errNewer says that a record is of a kvmrun to come.
var errNewer = errors.New("it was written by a newer kvmrun")

// parseRecord reads the record of a name and makes sure that it is one.
func parseRecord(name string, text []byte) (record, error) {
	var r record
	if err := json.Unmarshal(text, &r); err != nil {
		return record{}, errors.New("it is no such JSON object")
	}
	if r.Version > recordVersion {
		return record{}, errNewer
	}
	if _, err := ParseDigest(string(r.Digest)); err != nil {
		return record{}, err
	}
	if r.Source.Digest != "" {
		if _, err := ParseDigest(string(r.Source.Digest)); err != nil {
			return record{}, err
		}
	}
	switch {
	case r.Version < 1:
		return record{}, fmt.Errorf("version %d", r.Version)
	case r.Name != name:
		return record{}, fmt.Errorf("it is the record of %.80q", r.Name)
	case r.VirtualSize <= 0:
		return record{}, fmt.Errorf("a disk of %d bytes", r.VirtualSize)
	}
	return r, nil
}

// checkName makes sure that a name is that of one file in one folder, and none of
// those that begin with a dot. Which names are good for people, the caller knows.
func checkName(name string) error {
	if name == "" || name[0] == '.' || len(name) > 200 || strings.ContainsAny(name, "/\x00") {
		return imageError(name, ErrName, nil, "choose one of letters and digits", "no image can have this name")
	}
	return nil
}

func (s *Store) recordPath(name string) string { return filepath.Join(s.names(), name+suffix) }

// read returns the record of a name.
func (s *Store) read(name string) (record, error) {
	if err := checkName(name); err != nil {
		return record{}, err
	}
	path := s.recordPath(name)
	info, err := os.Lstat(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return record{}, noImage(name)
	case err != nil:
		return record{}, err
	case !info.Mode().IsRegular() || info.Size() > maxRecord:
		return record{}, damaged(name, path, errors.New("it is not a file of kvmrun's"))
	}
	text, err := os.ReadFile(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return record{}, noImage(name)
	case err != nil:
		return record{}, err
	}
	r, err := parseRecord(name, text)
	if err != nil {
		return record{}, damaged(name, path, err)
	}
	return r, nil
}

func noImage(name string) error {
	return imageError(name, ErrNoImage, nil, "see kvmrun image ls", "the store has no image of this name")
}

func damaged(name, path string, cause error) error {
	advice := "remove the name by kvmrun image rm and import it again"
	if errors.Is(cause, errNewer) {
		advice = "use that one"
	}
	return imageError(name, ErrRecord, cause, advice, "its record "+path+" cannot be used")
}

// write makes a name lead to what the record says, in one step. Whoever calls it
// holds the store's lock. The folder is one on the same file system, for a moment.
func (s *Store) write(r record, folder string) error {
	text, err := json.MarshalIndent(r, "", "  ")
	if err != nil {
		return err
	}
	err = renameio.WriteFile(s.recordPath(r.Name), append(text, '\n'), 0o600, renameio.WithTempDir(folder))
	if err != nil {
		return err
	}
	return sync(s.names())
}

// forget takes a name away.
func (s *Store) forget(name string) error {
	if err := os.Remove(s.recordPath(name)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return sync(s.names())
}

// Names returns the names that have a record, in order. What else lies there is
// somebody else's.
func (s *Store) Names() ([]string, error) {
	entries, err := os.ReadDir(s.names())
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	var names []string
	for _, e := range entries {
		if name, ok := strings.CutSuffix(e.Name(), suffix); ok && checkName(name) == nil {
			names = append(names, name)
		}
	}
	return names, nil
}

// records are those of all names. It fails if one cannot be read, for then it is
// not known which blob has that name.
func (s *Store) records() ([]record, error) {
	names, err := s.Names()
	var found []record
	errs := []error{err}
	for _, name := range names {
		r, err := s.read(name)
		if errors.Is(err, ErrNoImage) {
			continue
		}
		found, errs = append(found, r), append(errs, err)
	}
	return found, errors.Join(errs...)
}
