package disks

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/google/uuid"
	"golang.org/x/sys/unix"

	"kvmrun/images"
)

// Folder is what is kept under a VM's name, with its lock held. It belongs to one
// goroutine.
type Folder struct {
	root Root
	vm   string
	dir  *os.File // open, and locked by this very description
	gone bool     // it was deleted, and its name may be another's by now
}

// there makes sure that the folder has its name, as it may have lost it before it was
// locked. As long as the lock is held it keeps it.
func (f *Folder) there() error {
	now, err := os.Lstat(f.root.Folder(f.vm))
	if errors.Is(err, fs.ErrNotExist) {
		return errMoved
	}
	if err != nil {
		return err
	}
	opened, err := f.dir.Stat()
	if err == nil && !os.SameFile(now, opened) {
		err = errMoved
	}
	return err
}

// What is kept of a machine beside its disks, and goes with them.
const (
	Variables       = "uefi.vars"        // what its UEFI keeps
	SecureVariables = "uefi-secure.vars" // the same of one with Secure Boot, whose keys are among it
	TPMState        = "tpm.state"
)

var besideDisks = []string{Variables, SecureVariables, TPMState}

// File is the path of the disk of a number.
func (f *Folder) File(number int) string { return f.root.File(f.vm, number) }

// Record is what is kept. It fails with a *RecordError if that cannot be known.
func (f *Folder) Record() (Record, error) { return read(f.dir) }

// Share is another descriptor of the folder, for another process. The lock lasts until
// both are closed. It can be used for nothing else by who is not the folder's owner.
func (f *Folder) Share() (*os.File, error) {
	fd, err := unix.FcntlInt(f.dir.Fd(), unix.F_DUPFD_CLOEXEC, 0)
	if err != nil {
		return nil, &os.PathError{Op: "dup", Path: f.dir.Name(), Err: err}
	}
	return os.NewFile(uintptr(fd), f.dir.Name()), nil
}

// Close gives the lock back, unless another process has it too. A folder in which
// nothing is kept goes.
func (f *Folder) Close() error {
	if !f.gone && f.empty() {
		_ = f.delete() // gc tries again
	}
	return f.dir.Close()
}

// empty tells whether the folder is of no use.
func (f *Folder) empty() bool {
	r, err := f.Record()
	foreign, err2 := f.foreign()
	return err == nil && err2 == nil && len(r.Disks) == 0 && foreign == ""
}

// Leave is the open folder with its lock, for another process to Inherit. The Folder is
// at its end.
func (f *Folder) Leave() *os.File { return f.dir }

// Add writes down that there will be a disk, which is made after that. uuid is the
// machine's, if nothing was kept before.
func (f *Folder) Add(machine string, d Disk) error {
	r, err := f.Record()
	if err != nil {
		return err
	}
	if r.UUID == "" || len(r.Disks) == 0 {
		r.UUID = machine
	}
	return f.save(r.with(d))
}

// Create makes the disk of a number, an overlay on the image in base. It is on the
// host's disk when Create returns.
func (f *Folder) Create(number int, base string, virtualSize int64) error {
	path := f.File(number)
	o := images.Overlay{VirtualSize: virtualSize, BackingFile: base, BackingFormat: images.QCOW2}
	if err := images.CreateOverlay(path, o); err != nil {
		return err
	}
	return errors.Join(sync(path), f.dir.Sync())
}

// MarkRan writes down that a guest has run with all disks.
func (f *Folder) MarkRan() error {
	r, err := f.Record()
	if err != nil {
		return err
	}
	changed := false
	for i := range r.Disks {
		changed = changed || !r.Disks[i].Ran
		r.Disks[i].Ran = true
	}
	if !changed {
		return nil
	}
	return f.save(r)
}

// DropUnused removes the disks that no guest has run with, or with dryRun lists them by
// their paths: those of starts which failed, or were killed. One that something was
// written to stays whatever the record says, and so does one that cannot be read.
func (f *Folder) DropUnused(dryRun bool) (dropped []string, err error) {
	r, err := f.Record()
	if err != nil {
		return nil, err
	}
	kept := r
	kept.Disks = nil
	var errs []error
	for _, d := range r.Disks {
		unused, err := f.unused(d)
		errs = append(errs, err)
		if !unused {
			kept.Disks = append(kept.Disks, d)
			continue
		}
		path := f.File(d.Number)
		// The record goes last: as long as there is a disk it says so.
		err = drop(path, dryRun)
		switch {
		case err == nil:
			dropped = append(dropped, path)
		case !errors.Is(err, fs.ErrNotExist):
			errs = append(errs, err)
			kept.Disks = append(kept.Disks, d)
		}
	}
	if !dryRun && len(kept.Disks) < len(r.Disks) {
		errs = append(errs, f.save(kept))
	}
	return dropped, errors.Join(errs...)
}

// drop removes a disk, or with dryRun looks whether it is there.
func drop(path string, dryRun bool) error {
	if dryRun {
		_, err := os.Lstat(path)
		return err
	}
	return os.Remove(path)
}

// unused tells whether nothing is lost with a disk.
func (f *Folder) unused(d Disk) (bool, error) {
	if d.Ran {
		return false, nil
	}
	path := f.File(d.Number)
	info, err := images.Inspect(path, images.QCOW2)
	if errors.Is(err, images.ErrNotExist) {
		return true, nil
	}
	if err != nil || !info.Blank {
		return false, err
	}
	err = free(path)
	if errors.Is(err, ErrBusy) {
		return false, nil
	}
	return err == nil, err
}

// free makes sure that no QEMU has a disk open, such as one that was started by hand. It
// fails with ErrBusy.
func free(path string) error {
	f, err := os.OpenFile(path, os.O_RDONLY|unix.O_NOFOLLOW, 0)
	if err != nil {
		return err
	}
	defer func() { _ = f.Close() }()
	held, err := images.Locked(f, true)
	if err == nil && held {
		err = fmt.Errorf("a QEMU has %s open: %w", path, ErrBusy)
	}
	return err
}

// Remove removes all disks, and the folder at once for everybody who looks. It fails if
// a QEMU has a disk open, or if there are files that are not this package's.
func (f *Folder) Remove() error {
	entries, err := list(f.dir)
	if err != nil {
		return err
	}
	for _, e := range entries {
		if _, disk := number(e.Name()); !disk {
			continue
		}
		if err := free(filepath.Join(f.dir.Name(), e.Name())); err != nil {
			return err
		}
	}
	foreign, err := f.foreign()
	if err != nil {
		return err
	}
	if foreign != "" {
		return fmt.Errorf("%s is not kvmrun's: %w", filepath.Join(f.dir.Name(), foreign), ErrStrange)
	}
	return f.delete()
}

// foreign is the name of a file that is not this package's; empty if there is none.
func (f *Folder) foreign() (string, error) {
	entries, err := list(f.dir)
	for _, e := range entries {
		_, disk := number(e.Name())
		passing := strings.HasPrefix(e.Name(), "."+recordFile) || images.IsPassing(e.Name())
		known := disk || passing || e.Name() == recordFile || slices.Contains(besideDisks, e.Name())
		if !e.Type().IsRegular() || !known {
			return e.Name(), nil
		}
	}
	return "", err
}

// delete takes the folder's name away and then what is in it.
func (f *Folder) delete() error {
	if err := f.there(); err != nil { // somebody has moved it by hand
		return err
	}
	last := filepath.Join(f.root.path, oldPrefix+uuid.NewString())
	if err := os.Rename(f.dir.Name(), last); err != nil {
		return err
	}
	f.gone = true
	return errors.Join(sync(f.root.path), os.RemoveAll(last))
}
