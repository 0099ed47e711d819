package process

import (
	"context"
	"errors"
	"fmt"
	"os"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// Handle holds one process by its pidfd (pidfd_open(2)): signals sent through
// it can reach no other process. Close it when it is no longer needed.
type Handle struct {
	ID   ID
	file *os.File
}

// Open takes hold of the process that the ID names. It fails with ErrGone if
// that process has ended.
func Open(id ID) (*Handle, error) {
	if id.IsZero() {
		return nil, ErrGone
	}
	fd, err := unix.PidfdOpen(id.PID, unix.PIDFD_NONBLOCK)
	if err != nil {
		if errors.Is(err, unix.ESRCH) {
			return nil, fmt.Errorf("process %d: %w", id.PID, ErrGone)
		}
		return nil, fmt.Errorf("pidfd_open %d: %w", id.PID, err)
	}
	// The look at the start time comes after the descriptor: from here on
	// the PID cannot change hands unseen.
	file := os.NewFile(uintptr(fd), "pidfd")
	if !id.Alive() {
		_ = file.Close()
		return nil, fmt.Errorf("process %d: %w", id.PID, ErrGone)
	}
	return &Handle{ID: id, file: file}, nil
}

// Signal sends a signal to the process (pidfd_send_signal(2)). It fails with
// ErrGone if the process has been reaped.
func (h *Handle) Signal(sig syscall.Signal) error {
	raw, err := h.file.SyscallConn()
	if err != nil {
		return err
	}
	var sent error
	if err := raw.Control(func(fd uintptr) {
		sent = unix.PidfdSendSignal(int(fd), sig, nil, 0)
	}); err != nil {
		return err
	}
	if errors.Is(sent, unix.ESRCH) {
		return fmt.Errorf("process %d: %w", h.ID.PID, ErrGone)
	}
	return sent
}

// Wait returns nil when the process has ended (as a zombie or wholly), or the
// context's error. It costs no thread while it waits: a pidfd becomes
// readable when its process ends, and Go's poller watches it. One Wait at a
// time may use a Handle.
func (h *Handle) Wait(ctx context.Context) error {
	raw, err := h.file.SyscallConn()
	if err != nil {
		return err
	}
	if err := h.file.SetReadDeadline(time.Time{}); err != nil {
		return err
	}
	stop := context.AfterFunc(ctx, func() { _ = h.file.SetReadDeadline(past) })
	defer stop()
	err = raw.Read(func(fd uintptr) bool { return ended(int(fd)) })
	if ctx.Err() != nil {
		return ctx.Err()
	}
	return err
}

// ended asks without waiting whether the pidfd's process has ended.
func ended(fd int) bool {
	poll := []unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}
	n, err := unix.Poll(poll, 0)
	return err == nil && n == 1
}

// Close lets go of the process. It does not end it.
func (h *Handle) Close() error { return h.file.Close() }

// past is a moment that is always over: a deadline there wakes a waiting read.
var past = time.Unix(1, 0)
