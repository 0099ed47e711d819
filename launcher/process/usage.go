package process

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// Usage is what a process has used so far, and what it holds now.
type Usage struct {
	CPU time.Duration // of all its threads, in steps of 10 ms
	// Memory is nil if it may not be looked at: that takes CAP_SYS_PTRACE where the
	// process is another user's.
	Memory *Memory
}

// Memory is what a process holds of the host's, in bytes
// (Documentation/filesystems/proc.rst of Linux, smaps_rollup).
type Memory struct {
	// PSS is its proportional share: a page that N processes have counts for an Nth.
	PSS uint64
	// Private is what would be free if the process ended.
	Private uint64
	// Swapped is its proportional share of what lies on a swap device.
	Swapped uint64
}

// Usage looks at the process. It fails with ErrGone if that has ended, be it
// meanwhile.
func (id ID) Usage() (Usage, error) {
	// The open folder is this process's for good, whoever gets its PID.
	dir, err := os.OpenRoot("/proc/" + strconv.Itoa(id.PID))
	if err != nil {
		return Usage{}, id.unseen(err)
	}
	defer func() { _ = dir.Close() }()
	text, err := dir.ReadFile("stat")
	if err != nil {
		return Usage{}, id.unseen(err)
	}
	s, err := parseStat(text)
	if err != nil {
		return Usage{}, fmt.Errorf("process %d: %w", id.PID, err)
	}
	if s.start != id.Start || s.gone() {
		return Usage{}, id.unseen(fs.ErrNotExist)
	}
	u := Usage{CPU: s.cpu}
	text, err = dir.ReadFile("smaps_rollup")
	switch {
	case errors.Is(err, fs.ErrPermission):
		return u, nil
	case err != nil:
		return Usage{}, id.unseen(err)
	}
	memory, err := parseMemory(text)
	if err != nil {
		return Usage{}, fmt.Errorf("process %d: smaps_rollup: %w", id.PID, err)
	}
	u.Memory = &memory
	return u, nil
}

// unseen makes ErrGone of what /proc says of a process that has ended.
func (id ID) unseen(err error) error {
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, unix.ESRCH) {
		return fmt.Errorf("process %d: %w", id.PID, ErrGone)
	}
	return err
}

// parseMemory reads the text of /proc/PID/smaps_rollup. What an older kernel does not
// count is 0, but for the PSS.
func parseMemory(text []byte) (m Memory, err error) {
	found := false
	for line := range bytes.Lines(text) {
		fields := strings.Fields(string(line))
		if len(fields) != 3 || fields[2] != "kB" {
			continue // the first line, with addresses
		}
		kib, err := strconv.ParseUint(fields[1], 10, 54)
		if err != nil {
			return Memory{}, err
		}
		switch size := kib * 1024; fields[0] {
		case "Pss:":
			m.PSS, found = size, true
		case "Private_Clean:", "Private_Dirty:", "Private_Hugetlb:":
			m.Private += size
		case "SwapPss:":
			m.Swapped = size
		}
	}
	if !found {
		return Memory{}, errors.New("no Pss in it")
	}
	return m, nil
}
