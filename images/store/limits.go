package store

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"

	"kvmrun/images"
)

// maxMemory is how much address space qemu-img may have, in bytes. An image chooses
// how large its tables are, and so how much memory they take; those of an image of
// 4 TiB take some hundred MiB.
const maxMemory = 2 << 30

// limited has a shell bound what a run of qemu-img takes of the host, and then become
// qemu-img: its memory, and the size of a file that it writes. If the host's memory is
// short, it is the first to go (proc(5), oom_score_adj). To lower one's own limits
// needs no privilege; to lower another user's does (prlimit(2)), and a container's root
// may not have it.
const limited = `ulimit -c 0; ulimit -v "$1"; ulimit -f "$2"
{ echo 1000 >/proc/self/oom_score_adj; } 2>/dev/null
shift 2; exec "$@"`

// limitedCommand is the command line of a program that is to be limited. room is how
// large a file may get that it writes, in bytes.
func limitedCommand(path string, room int64, args []string) []string {
	return append([]string{"sh", "-c", limited, "sh",
		strconv.Itoa(maxMemory >> 10),           // in KiB
		strconv.FormatInt(max(0, room)/512, 10), // in sectors
		path,
	}, args...)
}

// notExecuted is a shell's status of a program that it could not become
// (POSIX, Shell Command Language, 2.8.2).
const notExecuted = 126

// environment is qemu-img's. One arena of malloc's for all threads keeps the address
// space near to what is used (mallopt(3), M_ARENA_MAX).
func environment() []string {
	return []string{"PATH=" + os.Getenv("PATH"), "LC_ALL=C", "MALLOC_ARENA_MAX=1"}
}

// ended is how a run of qemu-img was ended from outside, or for lack of memory. Of the
// image it says nothing; so it is an error, whatever was asked. nil: it ended by itself.
func ended(err error, words string) error {
	var exit *exec.ExitError
	if !errors.As(err, &exit) {
		return nil
	}
	status, ok := exit.Sys().(syscall.WaitStatus)
	switch {
	case exit.ExitCode() == notExecuted:
		return noConverter("qemu-img", os.ErrPermission)
	case ok && status.Signaled() && status.Signal() == unix.SIGXFSZ:
		return errNoRoom
	case ok && status.Signaled():
		return died(fmt.Sprintf("qemu-img was ended by signal %d (%v)", int(status.Signal()), status.Signal()))
	case strings.Contains(strings.ToLower(words), strings.ToLower(unix.ENOMEM.Error())):
		return died(fmt.Sprintf("qemu-img would need more than %d MiB of memory", maxMemory>>20))
	}
	return nil
}

func died(how string) error {
	return &images.Error{Kind: ErrConverterDied, Detail: how,
		Advice: "see the kernel's log, and whether the file is from where you think: it may have been made to do that"}
}
