package disks

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"

	"github.com/google/renameio/v2"
	"github.com/google/uuid"
	"golang.org/x/sys/unix"

	"kvmrun/images/store"
)

// recordFile is the name of a folder's record.
const recordFile = "disks.json"

// recordVersion is the version of records that this package writes. One of a higher
// version is refused, never misread.
const recordVersion = 1

// maxRecord is more than any record has, in bytes.
const maxRecord = 1 << 20

// Record says what is kept under a VM's name.
type Record struct {
	Version int `json:"version"`
	// UUID is the machine's that the disks belong to: a guest that finds its disk again
	// is the same machine.
	UUID  string `json:"uuid"`
	Disks []Disk `json:"disks"`
}

// Disk is a disk that is kept, or is about to be made.
type Disk struct {
	Number int `json:"number"` // of the VM's disks, from 0 on
	// Image is the name in the store that the disk began with, which may lead elsewhere
	// by now. Digest is the content's, which lies beneath it.
	Image  string       `json:"image"`
	Digest store.Digest `json:"digest"`
	// Ran says that a guest has run with it.
	Ran bool `json:"ran"`
}

// Find is the disk of a number, or nil.
func (r *Record) Find(number int) *Disk {
	for i := range r.Disks {
		if r.Disks[i].Number == number {
			return &r.Disks[i]
		}
	}
	return nil
}

// with is the record with a disk in it, in place of one with the same number.
func (r Record) with(d Disk) Record {
	r.Disks = append(slices.DeleteFunc(slices.Clone(r.Disks), func(was Disk) bool { return was.Number == d.Number }), d)
	slices.SortFunc(r.Disks, func(a, b Disk) int { return a.Number - b.Number })
	return r
}

// Text is the record as it is written down.
func (r Record) Text() ([]byte, error) {
	r.Version = recordVersion
	text, err := json.MarshalIndent(r, "", "  ")
	return append(text, '\n'), err
}

// With is the record with a disk in it, for who writes it by other means.
func (r Record) With(d Disk) Record { return r.with(d) }

// RecordError says that it cannot be known what is kept under a VM's name.
type RecordError struct {
	File string
	Err  error
	// Newer says that a kvmrun to come has written it.
	Newer bool
}

func (e *RecordError) Error() string { return fmt.Sprintf("%s cannot be used: %v", e.File, e.Err) }

// Unwrap returns what is wrong with it.
func (e *RecordError) Unwrap() error { return e.Err }

// parse reads a record and makes sure that it is one.
func parse(text []byte) (Record, error) {
	var r Record
	if err := json.Unmarshal(text, &r); err != nil {
		return Record{}, errors.New("it is no such JSON object")
	}
	switch {
	case r.Version > recordVersion:
		return Record{}, errNewer
	case r.Version < 1:
		return Record{}, fmt.Errorf("version %d", r.Version)
	case uuid.Validate(r.UUID) != nil:
		return Record{}, fmt.Errorf("UUID %.80q", r.UUID)
	}
	for i, d := range r.Disks {
		if d.Number < 0 || d.Number > maxNumber || i > 0 && d.Number <= r.Disks[i-1].Number {
			return Record{}, fmt.Errorf("disk %d in place %d", d.Number, i)
		}
		if _, err := store.ParseDigest(string(d.Digest)); err != nil {
			return Record{}, err
		}
	}
	return r, nil
}

// errNewer says that a record is of a kvmrun to come.
var errNewer = errors.New("it was written by a newer kvmrun")

// looks is how often a folder is read whose files change meanwhile.
const looks = 5

// Kept is what is kept under a VM's name, without its lock: nothing if there is no
// folder, or none with a disk. A disk that is only just being made is in it. It fails if
// that cannot be known.
func (r Root) Kept(vm string) (Record, error) {
	for look := 1; ; look++ {
		dir, err := r.open(vm)
		if errors.Is(err, fs.ErrNotExist) {
			return Record{}, nil
		}
		if err != nil {
			return Record{}, err
		}
		found, err := read(dir)
		_ = dir.Close()
		if err == nil || look == looks {
			return found, err
		}
	}
}

// read reads an open folder's record. A folder without one has no disks; a disk that the
// record does not have is an error, because it may lie on any image.
func read(dir *os.File) (Record, error) {
	path := filepath.Join(dir.Name(), recordFile)
	bad := func(err error) (Record, error) {
		return Record{}, &RecordError{File: path, Err: err, Newer: errors.Is(err, errNewer)}
	}
	var r Record
	text, err := readFile(dir, recordFile)
	if err == nil {
		r, err = parse(text)
	}
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return bad(err)
	}
	entries, err := list(dir)
	if err != nil {
		return bad(err)
	}
	for _, e := range entries {
		if n, ok := number(e.Name()); ok && r.Find(n) == nil {
			return bad(fmt.Errorf("it does not have %s, which lies there", e.Name()))
		}
	}
	return r, nil
}

// readFile reads a small file of an open folder, and follows no link.
func readFile(dir *os.File, name string) ([]byte, error) {
	fd, err := unix.Openat(int(dir.Fd()), name, unix.O_RDONLY|unix.O_NOFOLLOW|unix.O_NONBLOCK|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, err
	}
	f := os.NewFile(uintptr(fd), name)
	defer func() { _ = f.Close() }()
	text, err := io.ReadAll(io.LimitReader(f, maxRecord+1))
	if err == nil && len(text) > maxRecord {
		err = errors.New("it is too large")
	}
	return text, err
}

// list reads an open folder anew.
func list(dir *os.File) ([]os.DirEntry, error) {
	if _, err := dir.Seek(0, io.SeekStart); err != nil {
		return nil, err
	}
	return dir.ReadDir(-1)
}

// maxNumber is a disk's at most.
const maxNumber = 9999

// diskFile is what disks are called in a folder.
var diskFile = regexp.MustCompile(`^disk(0|[1-9][0-9]{0,3})\.qcow2$`)

// number is that of a disk, by its file's name.
func number(name string) (int, bool) {
	found := diskFile.FindStringSubmatch(name)
	if found == nil {
		return 0, false
	}
	n, err := strconv.Atoi(found[1])
	return n, err == nil
}

// save replaces the record, which is on the host's disk when save returns.
func (f *Folder) save(r Record) error {
	text, err := r.Text()
	if err != nil {
		return err
	}
	folder := f.dir.Name()
	if err := renameio.WriteFile(filepath.Join(folder, recordFile), text, 0o600, renameio.WithTempDir(folder)); err != nil {
		return err
	}
	return f.dir.Sync()
}
