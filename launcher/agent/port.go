// Package agent speaks with QEMU's guest agent, by the virtio port that leads to it
// (docs of QEMU: interop/qemu-ga-ref).
//
// What comes from there is the guest's: its size is bounded, waiting for it has an end,
// and nothing is made of it but what was asked for.
package agent

import (
	"context"
	"errors"
	"os"
	"time"

	"golang.org/x/sys/unix"
)

// Port is the host's end of the port to one guest's agent. Several processes may have
// it open: they speak in turn, for one question and its answer each.
type Port struct {
	In, Out *os.File // pipes to the agent and from it, which do not block
	// Lock is locked by whoever speaks. It says something as long as an answer may be
	// under way that nobody waits for.
	Lock *os.File
}

// Close closes the port's files, which may be nil. The agent does not notice.
func (p *Port) Close() {
	for _, f := range []*os.File{p.In, p.Out, p.Lock} {
		if f != nil {
			_ = f.Close()
		}
	}
}

// Pauses between two attempts to get the lock.
const (
	firstPause = 200 * time.Microsecond
	lastPause  = 20 * time.Millisecond
)

// ErrBusy says that others speak with the agent and do not come to an end.
var ErrBusy = errors.New("others speak with the guest agent")

// lock waits for this process's turn.
func (p *Port) lock(ctx context.Context) error {
	for pause := firstPause; ; pause = min(2*pause, lastPause) {
		err := unix.Flock(int(p.Lock.Fd()), unix.LOCK_EX|unix.LOCK_NB)
		switch {
		case errors.Is(err, unix.EINTR):
			continue
		case !errors.Is(err, unix.EWOULDBLOCK):
			return os.NewSyscallError("flock", err)
		}
		select {
		case <-time.After(pause):
		case <-ctx.Done():
			return errors.Join(ErrBusy, ctx.Err())
		}
	}
}

func (p *Port) unlock() { _ = unix.Flock(int(p.Lock.Fd()), unix.LOCK_UN) }

// owed tells whether an answer may be under way that is not for the next question:
// whoever asked was killed, or has given up. Of a new port nothing is known.
func (p *Port) owed() bool {
	var mark [1]byte
	n, _ := p.Lock.ReadAt(mark[:], 0)
	return n == 0 || mark[0] != settled
}

// What the lock's file says.
const (
	settled = '0'
	owing   = '1'
)

// mark notes whether an answer is under way.
func (p *Port) mark(as byte) error {
	_, err := p.Lock.WriteAt([]byte{as}, 0)
	return err
}
