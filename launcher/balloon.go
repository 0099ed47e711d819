package launcher

import (
	"context"
	"errors"
	"fmt"
	"time"

	"kvmrun/qmp"
)

// balloonPause is how often QEMU is asked how far the guest is.
const balloonPause = 50 * time.Millisecond

// SetMemory has the machine's memory balloon leave the guest so many bytes, of those
// that the VM was started with at most, and returns when the guest has followed. A
// guest that does not, for want of a driver or of free memory, is KindTimeout when ctx
// ends, and goes on with what it can. A machine without a balloon is KindHost.
func (l *Launcher) SetMemory(ctx context.Context, name string, bytes int64) error {
	return during("set "+printableName(name), l.setMemory(ctx, name, bytes))
}

// SetMemoryAll sets the memory of VMs side by side and joins what failed.
func (l *Launcher) SetMemoryAll(ctx context.Context, names []string, bytes int64) error {
	return sideBySide(names, func(name string) error { return l.SetMemory(ctx, name, bytes) })
}

func (l *Launcher) setMemory(ctx context.Context, name string, bytes int64) error {
	dir, err := l.reach(name)
	if err != nil {
		return err
	}
	vm, err := l.look(dir)
	if err != nil {
		return ended(dir, err)
	}
	switch {
	case bytes < minMemory || bytes%Mebi != 0:
		return fail(KindUsage, "give whole mebibytes, at least "+FormatSize(minMemory), "--memory %s is no memory for a guest", FormatSize(bytes))
	case bytes > vm.Spec.Memory:
		return fail(KindUsage, "stop it and start it with more", "--memory %s is more than the machine has (%s)",
			FormatSize(bytes), FormatSize(vm.Spec.Memory))
	}
	client, err := dialMonitor(ctx, dir)
	if err != nil {
		return monitorError(ctx, err)
	}
	defer func() { _ = client.Close() }()
	return inflate(ctx, client, bytes)
}

// inflate tells the guest what to keep and waits until it has let go of the rest.
func inflate(ctx context.Context, client *qmp.Client, bytes int64) error {
	err := client.Execute(ctx, "balloon", map[string]int64{"value": bytes}, nil)
	if qmp.HasClass(err, qmp.ClassDeviceNotActive) {
		return fail(KindHost, "start it with -- -device virtio-balloon-pci", "the machine has no memory balloon")
	}
	if err != nil {
		return monitorError(ctx, err)
	}
	var now struct {
		Actual int64 `json:"actual"`
	}
	for {
		err := client.Execute(ctx, "query-balloon", nil, &now)
		if err == nil && now.Actual == bytes {
			return nil
		}
		if err == nil {
			err = Sleep(ctx, balloonPause)
		}
		switch {
		case err == nil:
		case errors.Is(ctx.Err(), context.DeadlineExceeded) && now.Actual > 0:
			return &Error{Kind: KindTimeout,
				Err:    fmt.Errorf("the guest has %s, and goes on towards %s as it can", FormatSize(now.Actual), FormatSize(bytes)),
				Advice: "see that it has a driver for virtio-balloon, and memory to spare"}
		default:
			return monitorError(ctx, err)
		}
	}
}
