package disks

import (
	"os"

	"golang.org/x/sys/unix"
)

// Rename keeps the disks under another name, as those of another machine with that UUID.
// It fails with fs.ErrExist if anything has the name. Cut short, it has left the disks
// under the old name, whose machine may have the new UUID already. The Folder is at its
// end then, and only to be closed.
func (f *Folder) Rename(vm, machine string) error {
	r, err := f.Record()
	if err != nil {
		return err
	}
	r.UUID = machine
	if err := f.save(r); err != nil {
		return err
	}
	from, to := f.root.Folder(f.vm), f.root.Folder(vm)
	if err := unix.Renameat2(unix.AT_FDCWD, from, unix.AT_FDCWD, to, unix.RENAME_NOREPLACE); err != nil {
		return &os.LinkError{Op: "rename", Old: from, New: to, Err: err}
	}
	f.gone = true // by its old name
	return sync(f.root.path)
}
