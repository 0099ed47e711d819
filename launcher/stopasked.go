package launcher

import (
	"errors"
	"fmt"
	"io/fs"

	"kvmrun/launcher/vmdir"
)

// mark writes down that the VM's end is wanted. Without room for it, the end
// only looks less wanted.
func (o StopOptions) mark(dir vmdir.Dir, run, reason string) {
	err := inFolderOf(dir, run, func(d vmdir.Dir) error { return d.AskStop(reason) })
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		o.note("%s: %v", dir.Name, err)
	}
}

// unmark takes mark back: the VM goes on.
func unmark(dir vmdir.Dir, run string) error {
	err := inFolderOf(dir, run, vmdir.Dir.WithdrawStop)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
}

// inFolderOf does something in the folder of a start of a VM, by a path that leads
// to that folder for ever: the VM may end meanwhile, and its name be given to another.
// It fails with a fs.ErrNotExist if that is so already.
func inFolderOf(dir vmdir.Dir, run string, do func(vmdir.Dir) error) error {
	held, release, err := dir.Hold()
	if err != nil {
		return err
	}
	defer release()
	var spec Spec
	if err := held.Read(vmdir.SpecFile, &spec); err != nil {
		return err
	}
	if spec.ID() != run {
		return fmt.Errorf("%s: %w", dir.Name, errAnother)
	}
	return do(held)
}
