package launcher

import (
	"context"
	"errors"
	"fmt"
	"image"
	"os"

	"golang.org/x/sys/unix"

	"kvmrun/launcher/picture"
	"kvmrun/qmp"
)

// Screenshot is the picture on a VM's screen, whether its guest runs or stands still.
func (l *Launcher) Screenshot(ctx context.Context, name string) (image.Image, error) {
	op := "screenshot of " + printableName(name)
	dir, err := l.reach(name)
	if err != nil {
		return nil, during(op, err)
	}
	client, err := dialMonitor(ctx, dir)
	if err != nil {
		return nil, during(op, monitorError(ctx, err))
	}
	defer func() { _ = client.Close() }()
	// Not the user's file: what QEMU writes is looked at first.
	fd, err := unix.MemfdCreate("kvmrun-screen", unix.MFD_CLOEXEC)
	if err != nil {
		return nil, during(op, fmt.Errorf("memfd_create: %w", err))
	}
	file := os.NewFile(uintptr(fd), "picture")
	defer func() { _ = file.Close() }()
	if err := dump(ctx, client, file); err != nil {
		return nil, during(op, l.dumpError(ctx, name, err))
	}
	shot, err := picture.Decode(file)
	if err != nil {
		return nil, during(op, &Error{Kind: KindQEMU, Err: err})
	}
	return shot, nil
}

// dump has QEMU write what is on the screen into a file. QEMU is handed it open for
// writing, as it is going to open it.
func dump(ctx context.Context, client *qmp.Client, file *os.File) error {
	out, err := os.OpenFile(fmt.Sprintf("/proc/self/fd/%d", file.Fd()), os.O_WRONLY, 0)
	if err != nil {
		return err
	}
	defer func() { _ = out.Close() }()
	type set struct {
		Number int `json:"fdset-id"`
	}
	var added set
	if err := client.ExecuteFile(ctx, "add-fd", nil, &added, out); err != nil {
		return err
	}
	target := map[string]string{"filename": fmt.Sprintf("/dev/fdset/%d", added.Number)}
	err = client.Execute(ctx, "screendump", target, nil)
	return errors.Join(err, client.Execute(ctx, "remove-fd", added, nil))
}

// dumpError says what to do if there is no picture, as there is no screen.
func (l *Launcher) dumpError(ctx context.Context, name string, err error) error {
	var refused *qmp.CommandError
	if vm, failed := l.Inspect(name); failed == nil && !vm.Spec.Screen && errors.As(err, &refused) {
		return fail(KindUsage, "start it with --vnc", "the VM has no screen")
	}
	return monitorError(ctx, err)
}
