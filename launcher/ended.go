package launcher

import (
	"context"
	"errors"
	"io/fs"

	"kvmrun/launcher/vmdir"
)

// HowEnded is nil if the VM that is vm ended as it should, and says
// why if not.
func (l *Launcher) HowEnded(vm VM) error {
	now, err := l.lookMended(context.Background(), l.root.Dir(vm.Name), vm.Run)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil
	case err != nil:
		return during("end of "+printableName(vm.Name), err)
	case now.State == Failed || now.State == Dead:
		return fail(KindQEMU, "see kvmrun logs --qemu "+vm.Name, "%s has ended: %s", vm.Name, now.Reason)
	}
	return nil
}

// over tells whether the VM has ended, as a KindEnded error.
func (l *Launcher) over(dir vmdir.Dir) error {
	vm, err := l.look(dir)
	if err != nil {
		return ended(dir, err)
	}
	return vm.over()
}

// over tells whether the VM has ended, as a KindEnded error.
func (vm *VM) over() error {
	if vm.State == Failed || vm.State == Dead {
		return fail(KindEnded, "see kvmrun logs "+vm.Name, "the VM has ended: %s", vm.Reason)
	}
	return nil
}

// ended makes a KindEnded error of a folder's being gone.
func ended(dir vmdir.Dir, err error) error {
	if errors.Is(err, fs.ErrNotExist) {
		return fail(KindEnded, "start it again", "VM %s has ended", dir.Name)
	}
	return err
}
