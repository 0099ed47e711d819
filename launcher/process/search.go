package process

import (
	"bytes"
	"os"
	"path/filepath"
	"strconv"
	"strings"
)

// Search looks for a process that was started with the given arguments, in
// this order and next to one another, and of which is says yes. It is for
// finding a process whose ID was lost with the one that started it. It fails
// with ErrGone if there is none, and takes some milliseconds.
func Search(is func(pid int) bool, arguments ...string) (ID, error) {
	commands, err := filepath.Glob("/proc/[0-9]*/cmdline")
	if err != nil {
		return ID{}, err
	}
	wanted := []byte("\x00" + strings.Join(arguments, "\x00") + "\x00")
	for _, path := range commands {
		command, err := os.ReadFile(path)
		if err != nil || !bytes.Contains(command, wanted) {
			continue // ended meanwhile, or another's
		}
		pid, err := strconv.Atoi(filepath.Base(filepath.Dir(path)))
		if err != nil {
			return ID{}, err
		}
		if is(pid) {
			if id, err := Find(pid); err == nil {
				return id, nil
			}
		}
	}
	return ID{}, ErrGone
}

// RunsAs tells of a process whether its real user is the given one.
func RunsAs(uid uint32) func(pid int) bool {
	return func(pid int) bool {
		status, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/status")
		if err != nil {
			return false
		}
		user, ok := realUser(string(status))
		return ok && user == uid
	}
}

// realUser finds the real user in the text of /proc/PID/status
// (proc_pid_status(5)).
func realUser(status string) (uid uint32, ok bool) {
	for line := range strings.Lines(status) {
		if rest, found := strings.CutPrefix(line, "Uid:"); found {
			fields := strings.Fields(rest)
			if len(fields) == 0 {
				return 0, false
			}
			user, err := strconv.ParseUint(fields[0], 10, 32)
			return uint32(user), err == nil
		}
	}
	return 0, false
}

// SharesNetwork tells of a process whether it is in the calling thread's network
// namespace.
func SharesNetwork(pid int) bool {
	ours, err := os.Readlink("/proc/thread-self/ns/net")
	theirs, err2 := os.Readlink("/proc/" + strconv.Itoa(pid) + "/ns/net")
	return err == nil && err2 == nil && ours == theirs
}
