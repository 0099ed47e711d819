package launcher

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"syscall"
	"time"

	"kvmrun/launcher/process"
	"kvmrun/launcher/vmdir"
)

// watch calls met whenever something in the VM's folder may have changed, until it
// says true or fails. It fails with KindEnded when the VM has ended, or another has
// its name. The VM is the start of it that is meant, or without one whichever has the
// name now. met gets nil while the record cannot be read.
//
// A fault of the record that a supervisor mends is not the VM's end: see view.look.
func (l *Launcher) watch(ctx context.Context, dir vmdir.Dir, run string, met func(*Details) (bool, error)) error {
	return l.watchBeside(ctx, dir, run, nil, met)
}

// watchBeside is watch for who has other news of the VM, too: met is also called
// when a nudge comes.
func (l *Launcher) watchBeside(ctx context.Context, dir vmdir.Dir, run string, nudge <-chan struct{},
	met func(*Details) (bool, error)) error {
	changes, stop, err := dir.Changes()
	if err != nil {
		return ended(dir, err)
	}
	defer stop()
	v := view{l: l, dir: dir, run: run, release: func() {}}
	v.folder, _ = os.Lstat(dir.Path)
	defer func() { v.release() }()
	for {
		vm, failed := v.look()
		if ok, err := met(vm); err != nil || ok {
			return err
		}
		if failed != nil {
			return failed
		}
		select {
		case <-changes:
		case <-nudge:
		case <-v.gone:
			v.gone = nil
		case <-time.After(v.pause()):
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// view is what a watch knows of its VM.
type view struct {
	l   *Launcher
	dir vmdir.Dir
	run string // which start of the VM is meant; empty until it is known

	folder     os.FileInfo // the one whose changes are told of
	moved      bool        // it is another by now, or was away
	unreadable time.Time   // since when the record is; zero if it can be read

	supervisor, qemu process.ID // as they were last known
	held             process.ID // the QEMU whose end is waited for
	gone             <-chan struct{}
	release          context.CancelFunc
}

// look looks at the VM again. It returns nil for one whose record cannot be read,
// and an error if the VM has ended or the fault does not pass. A damaged record is
// mended by the VM's supervisor, a folder that vanished is written anew: for as long
// as one of the VM's processes is there, the VM has not ended by that.
func (v *view) look() (*Details, error) {
	now, _ := os.Lstat(v.dir.Path)
	v.moved = v.moved || now == nil || v.folder == nil || !os.SameFile(v.folder, now)
	vm, err := v.l.lookFor(v.dir, v.run)
	switch {
	case err == nil:
		v.run, v.unreadable = vm.Run, time.Time{}
		v.hold(&vm)
		return &vm, vm.over()
	case errors.Is(err, errAnother):
		return nil, ended(v.dir, err)
	case errors.Is(err, fs.ErrNotExist):
		if v.lives() {
			return nil, nil
		}
		return nil, ended(v.dir, err)
	case !passes(err):
		return nil, err
	}
	if v.unreadable.IsZero() {
		v.unreadable = time.Now()
	}
	if time.Since(v.unreadable) > mendTime {
		return nil, nameProcess(v.dir, err)
	}
	return nil, nil
}

// mendTime is how long a record may stay damaged that is mended.
const mendTime = 2 * HomeInterval

// passes tells whether a fault may be over by the next look: somebody wrote to the
// record, or this process or the host has too many files open.
func passes(err error) bool {
	var e *vmdir.DamagedError
	return errors.As(err, &e) || errors.Is(err, syscall.EMFILE) || errors.Is(err, syscall.ENFILE)
}

// lives tells whether one of the VM's processes is there. A supervisor that has
// removed the folder, because the VM has ended, ends at once.
func (v *view) lives() bool { return v.qemu.Alive() || v.supervisor.Alive() }

// pause is how long to wait for a change before the next look. Of a folder that
// vanished, or lies under another file system by now, nobody is told.
func (v *view) pause() time.Duration {
	if v.moved || !v.unreadable.IsZero() {
		return mendPause
	}
	return HomeInterval
}

// hold has v.gone closed when the VM's QEMU has ended, so that an end which no
// supervisor is there to record is noticed too.
func (v *view) hold(vm *Details) {
	if id := vm.Details.Supervisor; !id.IsZero() {
		v.supervisor = id
	}
	id := vm.Details.QEMU
	if id.IsZero() || id == v.held {
		return
	}
	v.qemu = id
	handle, err := process.Open(id)
	if err != nil {
		return
	}
	v.release()
	ctx, cancel := context.WithCancel(context.Background())
	gone := make(chan struct{})
	v.held, v.gone, v.release = id, gone, cancel
	go func() {
		defer func() { _ = handle.Close() }()
		if handle.Wait(ctx) == nil {
			close(gone)
		}
	}()
}
