package launcher

import (
	"context"
	"errors"
	"io"
	"io/fs"
	"os"
	"strings"

	"kvmrun/launcher/vmdir"
)

// Follow copies a file of the VM's folder to w and goes on with what is added
// until the VM has ended, or returns at the end of the file if follow is not
// set. The VM is the one that is vm, or without a Run whichever has
// the name now.
func (l *Launcher) Follow(ctx context.Context, vm VM, file string, w io.Writer, follow bool) error {
	return during("read "+file+" of "+printableName(vm.Name), l.follow(ctx, vm, file, w, follow))
}

func (l *Launcher) follow(ctx context.Context, vm VM, file string, w io.Writer, follow bool) error {
	dir, err := l.dir(vm.Name)
	if err != nil {
		return err
	}
	if now, err := l.look(dir); err == nil && vm.Run == "" {
		vm.Run = now.Run // before the file is opened: it may not be the next VM's
	}
	log := &tail{path: dir.File(file)}
	log.file, err = os.Open(log.path)
	if errors.Is(err, fs.ErrNotExist) {
		return fail(KindNotFound, "", "VM %s has no %s", vm.Name, strings.TrimSuffix(file, ".jsonl"))
	}
	if err != nil {
		return err
	}
	defer func() { _ = log.file.Close() }()
	if err := vmdir.SkipHole(log.file); err != nil {
		return err
	}
	if !follow {
		return log.copyTo(w)
	}
	err = l.watch(ctx, dir, vm.Run, func(vm *Details) (bool, error) {
		err := log.copyTo(w)
		if err == nil && vm != nil && log.turn() {
			err = log.copyTo(w)
		}
		return false, err
	})
	if KindOf(err) != KindEnded {
		return err
	}
	// What was written between the last look and the end.
	return log.copyTo(w)
}

// tail is a file that others append to.
type tail struct {
	path string
	file *os.File
}

func (t *tail) copyTo(w io.Writer) error {
	_, err := io.Copy(w, t.file)
	return err
}

// turn goes on with another file that is at the path by now, as after the folder
// had vanished and was written anew. The console's log does not come back: QEMU
// goes on writing to the one it has open.
func (t *tail) turn() bool {
	was, err := t.file.Stat()
	if err != nil {
		return false
	}
	if now, err := os.Stat(t.path); err != nil || os.SameFile(was, now) {
		return false
	}
	next, err := os.Open(t.path)
	if err != nil {
		return false
	}
	_ = t.file.Close()
	t.file = next
	return true
}
