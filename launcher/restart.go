package launcher

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"
)

// Restart stops a VM as Stop does and starts it again from the same description: with
// the same name, address, MAC and UUID, so that to its guest it is the same machine. A
// VM that failed is started again, too. What its guest wrote over ephemeral disks is
// gone. Between the two there is no VM, and others may take its name or address; if it
// does not start again it is stopped, and the error says why.
func (l *Launcher) Restart(ctx context.Context, name string, o StopOptions) (VM, error) {
	op := "restart " + printableName(name)
	spec, err := l.whole(ctx, name, &o)
	if err != nil {
		return VM{}, during(op, err)
	}
	if err := l.stop(ctx, name, o); err != nil {
		return VM{}, during(op, err)
	}
	vm, err := l.Start(ctx, spec, StartOptions{Note: o.Note, again: true})
	if err != nil {
		return VM{}, &Error{Kind: KindOf(err), Op: op, Err: fmt.Errorf("it is stopped, and does not start again: %w", err)}
	}
	return vm, nil
}

// RestartEach restarts VMs side by side and joins what failed. It returns those that
// run, in the order of the names. One that is named twice is restarted once.
func (l *Launcher) RestartEach(ctx context.Context, names []string, o StopOptions) ([]VM, error) {
	var once []string
	for _, name := range names {
		if !slices.Contains(once, name) {
			once = append(once, name)
		}
	}
	vms := make([]VM, len(once))
	err := sideBySide(once, func(name string) (err error) {
		vms[slices.Index(once, name)], err = l.Restart(ctx, name, o)
		return err
	})
	return slices.DeleteFunc(vms, func(vm VM) bool { return vm.Name == "" }), err
}

// whole is the description from which a VM can be started again, and pins down which
// VM it is. It fails while the VM can still go on if something is missing by now.
func (l *Launcher) whole(ctx context.Context, name string, o *StopOptions) (Spec, error) {
	if err := requireRoot("restart"); err != nil {
		return Spec{}, err
	}
	dir, err := l.dir(name)
	if err != nil {
		return Spec{}, err
	}
	vm, err := l.lookMended(ctx, dir, "")
	if errors.Is(err, fs.ErrNotExist) {
		return Spec{}, noSuchVM(name)
	}
	if err != nil {
		return Spec{}, err
	}
	o.Only = vm.VM
	spec := vm.Spec
	setDefault(&spec.Network.Uplink, NoUplink)
	files := []string{spec.QEMU, spec.Boot.Kernel, spec.Boot.Initrd}
	for i := range spec.Disks {
		if disk := &spec.Disks[i]; !disk.Kept() {
			files = append(files, disk.Path)
		} else if err := l.again(name, i, disk); err != nil {
			return Spec{}, fail(KindOf(err), "the VM was left alone", "it could not be started again: %w", err)
		}
	}
	if spec.FirstBoot != nil {
		for _, file := range spec.FirstBoot.files() {
			files = append(files, *file)
		}
	}
	for _, share := range spec.Shares {
		files = append(files, share.Folder)
	}
	for _, file := range files {
		if _, err := os.Stat(file); file != "" && err != nil {
			return Spec{}, fail(KindImage, "put it back; the VM was left alone", "it could not be started again: %w", err)
		}
	}
	return spec, nil
}
