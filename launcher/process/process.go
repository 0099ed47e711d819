// Package process names processes so that the name stays true: by PID and
// start time together, and holds them by pidfd. A PID alone is never enough,
// because the kernel gives it away again.
package process

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"strconv"
	"time"

	"golang.org/x/sys/unix"
)

// ErrGone says that the process named by an ID has ended, whether or not its
// PID has been given to another one since.
var ErrGone = errors.New("process has ended")

// ID names one process for the life of this boot.
type ID struct {
	// PID is the process ID in the namespace of whoever wrote it down.
	PID int `json:"pid"`
	// Start is the start time in clock ticks since boot, field 22 of
	// /proc/PID/stat (proc_pid_stat(5)).
	Start uint64 `json:"start"`
}

// IsZero reports whether the ID names no process at all.
func (id ID) IsZero() bool { return id.PID == 0 }

// Self is the ID of the calling process.
func Self() (ID, error) { return Find(os.Getpid()) }

// Find completes a PID to an ID. It fails with ErrGone if there is no such
// process. A zombie counts as gone: it holds nothing any more, once all its threads have
// ended.
func Find(pid int) (ID, error) {
	text, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/stat")
	if err != nil {
		if errors.Is(err, os.ErrNotExist) || errors.Is(err, unix.ESRCH) {
			return ID{}, fmt.Errorf("process %d: %w", pid, ErrGone)
		}
		return ID{}, err
	}
	stat, err := parseStat(text)
	if err != nil {
		return ID{}, fmt.Errorf("process %d: %w", pid, err)
	}
	if stat.gone() {
		return ID{}, fmt.Errorf("process %d: %w", pid, ErrGone)
	}
	return ID{PID: pid, Start: stat.start}, nil
}

// Stopped tells whether a signal or a debugger keeps the process from going on. It is
// false of one that has ended.
func (id ID) Stopped() bool {
	text, err := os.ReadFile("/proc/" + strconv.Itoa(id.PID) + "/stat")
	if err != nil {
		return false
	}
	stat, err := parseStat(text)
	return err == nil && stat.start == id.Start && (stat.state == 'T' || stat.state == 't')
}

// stat is what is needed of /proc/PID/stat.
type stat struct {
	state   byte          // of the first thread
	cpu     time.Duration // used so far, in steps of 10 ms
	threads uint64        // the first one is counted as long as there is an entry
	start   uint64        // in clock ticks since boot
}

// gone tells a process that has ended. The first thread of one that was killed may be a
// zombie while others, and with them its open files, are there for a moment yet.
func (s stat) gone() bool { return s.state == 'X' || s.state == 'Z' && s.threads <= 1 }

// tick is the unit of /proc/PID/stat (USER_HZ of Linux's include/asm-generic/param.h).
const tick = 10 * time.Millisecond

// parseStat reads the text of /proc/PID/stat. The command name may hold spaces
// and parentheses, so fields are counted from its last closing parenthesis.
func parseStat(text []byte) (stat, error) {
	end := bytes.LastIndexByte(text, ')')
	if end < 0 {
		return stat{}, errors.New("stat without a command name")
	}
	fields := bytes.Fields(text[end+1:])
	const state, user, system, threads, start = 0, 11, 12, 17, 19
	if len(fields) <= start {
		return stat{}, errors.New("stat is cut short")
	}
	var numbers [4]uint64
	for i, field := range []int{user, system, threads, start} {
		n, err := strconv.ParseUint(string(fields[field]), 10, 64)
		if err != nil {
			return stat{}, err
		}
		numbers[i] = n
	}
	return stat{fields[state][0], time.Duration(numbers[0]+numbers[1]) * tick, numbers[2], numbers[3]}, nil
}

// Alive reports whether the very process that the ID names still runs.
func (id ID) Alive() bool {
	if id.IsZero() {
		return false
	}
	now, err := Find(id.PID)
	return err == nil && now == id
}
