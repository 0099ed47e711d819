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
// process. A zombie counts as gone: it holds nothing any more.
func Find(pid int) (ID, error) {
	stat, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/stat")
	if err != nil {
		if errors.Is(err, os.ErrNotExist) || errors.Is(err, unix.ESRCH) {
			return ID{}, fmt.Errorf("process %d: %w", pid, ErrGone)
		}
		return ID{}, err
	}
	state, start, err := parseStat(stat)
	if err != nil {
		return ID{}, fmt.Errorf("process %d: %w", pid, err)
	}
	if state == 'Z' || state == 'X' {
		return ID{}, fmt.Errorf("process %d: %w", pid, ErrGone)
	}
	return ID{PID: pid, Start: start}, nil
}

// parseStat finds the state and the start time in the text of
// /proc/PID/stat. The command name may hold spaces and parentheses, so
// fields are counted from its last closing parenthesis.
func parseStat(stat []byte) (state byte, start uint64, err error) {
	end := bytes.LastIndexByte(stat, ')')
	if end < 0 {
		return 0, 0, errors.New("stat without a command name")
	}
	fields := bytes.Fields(stat[end+1:])
	const stateField, startField = 0, 19
	if len(fields) <= startField {
		return 0, 0, errors.New("stat is cut short")
	}
	start, err = strconv.ParseUint(string(fields[startField]), 10, 64)
	return fields[stateField][0], start, err
}

// Alive reports whether the very process that the ID names still runs.
func (id ID) Alive() bool {
	if id.IsZero() {
		return false
	}
	now, err := Find(id.PID)
	return err == nil && now == id
}
