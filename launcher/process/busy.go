package process

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// ErrIdle says that a process lives and does nothing.
var ErrIdle = errors.New("process makes no progress")

// looks is how often a process is looked at before it counts as idle. Looks are
// counted, not time, so that a caller who was suspended meanwhile sees nothing
// in it.
const looks = 20

// What keeps a process from going on, or from being seen at what it does.
const (
	Traced = "is stopped by a debugger"
	Frozen = "is frozen by its control group"
	Unseen = "cannot be looked at for lack of permission (CAP_SYS_PTRACE)"
)

// WaitWhileBusy is Wait for a process that is to write out what it has and
// leave. It takes as long as that makes progress, and fails with ErrIdle once
// it has made none for a while. Only one Wait of either kind at a time may use
// a Handle.
//
// A process that is kept from going on does not count as idle, nor does one that
// may do anything unseen. One that a signal has stopped is made to go on. For the
// others kept is called, again and again, with Traced, Frozen or Unseen.
//
// Progress is that bytes went to a disk, that a thread is in a system call that
// reads or writes a file at a place or makes it lasting, or in an
// uninterruptible sleep, as slow disks and network file systems cause; and that
// the main thread computes, or would if it had a processor. What other threads
// compute is no progress: they may be a guest's processors, which know nothing of
// the end.
func (h *Handle) WaitWhileBusy(ctx context.Context, idle time.Duration, kept func(how string)) error {
	// One that ends soon is not looked at: the kernel takes back what was seen of
	// it in /proc as it ends, more than a millisecond for each process.
	if ended, err := h.endsWithin(ctx, idle/looks); ended || err != nil {
		return err
	}
	before := h.ID.work()
	for quiet := 1; quiet < looks; {
		ended, err := h.endsWithin(ctx, idle/looks)
		if ended || err != nil {
			return err
		}
		if how := before.kept(); how != "" { // and not just because it was ending
			kept(how)
		}
		now := h.ID.work()
		if quiet++; now.progress(before, idle/looks) || now.stopped || now.kept() != "" {
			quiet = 0
		}
		if now.stopped {
			if err := h.Signal(unix.SIGCONT); err != nil && !errors.Is(err, ErrGone) {
				return err
			}
		}
		before = now
	}
	return fmt.Errorf("process %d: %w", h.ID.PID, ErrIdle)
}

// endsWithin waits for the process for some time and tells whether it has ended.
// The error is about the waiting, or ctx's.
func (h *Handle) endsWithin(ctx context.Context, limit time.Duration) (bool, error) {
	pause, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	err := h.Wait(pause)
	if ctx.Err() != nil {
		return false, ctx.Err()
	}
	if errors.Is(err, context.DeadlineExceeded) {
		return false, nil
	}
	return err == nil, err
}

// work is what a process has done so far, and whether it is at something.
type work struct {
	written uint64        // bytes that went to disks
	cpu     time.Duration // of the main thread
	ready   bool          // the main thread has a processor, or waits for one
	atDisk  bool          // a thread waits for one
	stopped bool          // by a signal
	traced  bool          // and stopped by a debugger
	frozen  bool
	unseen  bool // not all of this could be read
}

// kept tells what keeps the process from going on or from being seen; "" for nothing.
func (w work) kept() string {
	switch {
	case w.traced:
		return Traced
	case w.frozen:
		return Frozen
	case w.unseen:
		return Unseen
	}
	return ""
}

// leastShare is the part of a processor, as its inverse, below which computing
// is no work: a loop that waits for something wakes now and then.
const leastShare = 50

// progress tells whether something was done between two looks.
func (w work) progress(before work, between time.Duration) bool {
	return w.atDisk || w.ready || w.written != before.written || w.cpu-before.cpu > between/leastShare
}

// work looks at the process. Threads that end meanwhile are left out.
func (id ID) work() (w work) {
	main := strconv.Itoa(id.PID)
	dir := "/proc/" + main
	w.written = writeBytes(w.read(dir + "/io"))
	threads, _ := filepath.Glob(dir + "/task/[0-9]*")
	for _, thread := range threads {
		stat, err := parseStat(w.read(thread + "/stat"))
		if err != nil {
			continue
		}
		if filepath.Base(thread) == main {
			w.cpu, w.ready = stat.cpu, stat.state == 'R'
			w.frozen = stat.state == 'S' && freezes(w.read(thread+"/wchan"))
		}
		w.atDisk = w.atDisk || stat.state == 'D' || handlesFile(w.read(thread+"/syscall"))
		w.stopped = w.stopped || stat.state == 'T'
		w.traced = w.traced || stat.state == 't'
	}
	w.unseen = w.unseen || len(threads) == 0 // proc(5), hidepid
	return w
}

// read reads a file of /proc and notices if it must not.
func (w *work) read(path string) []byte {
	text, err := os.ReadFile(path)
	if err != nil && !errors.Is(err, unix.ENOENT) && !errors.Is(err, unix.ESRCH) {
		w.unseen = true
	}
	return text
}

// freezes tells by a thread's /proc/PID/wchan whether it sleeps because its control
// group is frozen: in do_freezer_trap, which compilers put into get_signal (Linux:
// kernel/signal.c). Other sleeps there are no state S. Frozen by version 1 of the
// groups, a thread seems to be in an uninterruptible sleep.
func freezes(function []byte) bool {
	return string(function) == "do_freezer_trap" || string(function) == "get_signal"
}

// writeBytes finds write_bytes in the text of /proc/PID/io (proc_pid_io(5)).
func writeBytes(text []byte) uint64 {
	for line := range bytes.Lines(text) {
		if value, ok := bytes.CutPrefix(line, []byte("write_bytes: ")); ok {
			n, _ := strconv.ParseUint(string(bytes.TrimSpace(value)), 10, 64)
			return n
		}
	}
	return 0
}

// fileCalls are the system calls by which QEMU's block layer handles images
// (QEMU: block/file-posix.c). write(2) is not among them: it serves pipes, too.
var fileCalls = []int{
	unix.SYS_PREAD64, unix.SYS_PREADV, unix.SYS_PWRITE64, unix.SYS_PWRITEV, unix.SYS_PWRITEV2,
	unix.SYS_FSYNC, unix.SYS_FDATASYNC, unix.SYS_FALLOCATE, unix.SYS_FTRUNCATE, unix.SYS_COPY_FILE_RANGE,
}

// handlesFile reads /proc/PID/syscall (proc_pid_syscall(5)): the call's number
// and arguments, or a word where there is none.
func handlesFile(text []byte) bool {
	number, _, _ := strings.Cut(string(text), " ")
	call, err := strconv.Atoi(number)
	return err == nil && slices.Contains(fileCalls, call)
}
