package trace

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// process is one of those that are followed, or that were until they became
// programs which run at full speed.
type process struct {
	pid    int
	role   Role
	forked bool // it is not yet another program than its parent
	handle int  // a pidfd
}

func newProcess(pid int, role Role, forked bool) (*process, error) {
	fd, err := unix.PidfdOpen(pid, 0)
	if err != nil {
		return nil, os.NewSyscallError("pidfd_open", err)
	}
	return &process{pid: pid, role: role, forked: forked, handle: fd}, nil
}

// kill ends the process. One that has ended is left alone.
func (p *process) kill() { _ = unix.PidfdSendSignal(p.handle, unix.SIGKILL, nil, 0) }

// roleOf tells by a process's arguments what it is to kvmrun; "" if that is
// none of what kvmrun starts.
func roleOf(arguments []string) Role {
	if len(arguments) == 0 {
		return ""
	}
	switch program := filepath.Base(arguments[0]); {
	case program == "qemu-system-x86_64":
		return QEMU
	case program == "dnsmasq":
		return Dnsmasq
	case len(arguments) == 2 && arguments[1] == "supervise":
		return Supervisor
	}
	return ""
}

// arguments of a process; none if it has ended.
func arguments(pid int) []string {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", pid))
	if err != nil || len(text) == 0 {
		return nil
	}
	return strings.Split(strings.TrimSuffix(string(text), "\x00"), "\x00")
}

// kinship reads from a thread's status whose it is: the process's ID and its
// parent's.
func kinship(tid int) (pid, parent int) {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", tid))
	if err != nil {
		return 0, 0
	}
	for line := range strings.Lines(string(text)) {
		key, value, _ := strings.Cut(line, ":")
		n, err := strconv.Atoi(strings.TrimSpace(value))
		if err != nil {
			continue
		}
		switch key {
		case "Tgid":
			pid = n
		case "PPid":
			parent = n
		}
	}
	return pid, parent
}

// running are the processes of this world that have a role already.
func running() ([]*process, error) {
	entries, err := os.ReadDir("/proc")
	if err != nil {
		return nil, err
	}
	var found []*process
	for _, e := range entries {
		pid, err := strconv.Atoi(e.Name())
		if err != nil {
			continue
		}
		given := arguments(pid)
		role := roleOf(given)
		if role == "" || !isProgram(pid, given[0]) {
			continue // or it only calls itself so
		}
		if p, err := newProcess(pid, role, false); err == nil { // else it has ended
			found = append(found, p)
		}
	}
	return found, nil
}

// isProgram tells whether a process executes the program that its arguments say.
func isProgram(pid int, name string) bool {
	file, err := os.Readlink(fmt.Sprintf("/proc/%d/exe", pid))
	return err == nil && filepath.Base(strings.TrimSuffix(file, " (deleted)")) == filepath.Base(name)
}

// threads of a process.
func threads(pid int) []int {
	entries, err := os.ReadDir(fmt.Sprintf("/proc/%d/task", pid))
	if err != nil {
		return nil
	}
	var tids []int
	for _, e := range entries {
		if tid, err := strconv.Atoi(e.Name()); err == nil {
			tids = append(tids, tid)
		}
	}
	return tids
}
