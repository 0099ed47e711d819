package main

import (
	"os"
	"os/signal"
	"strconv"
	"syscall"

	"golang.org/x/sys/unix"

	"kvmrun/launcher"
	"kvmrun/launcher/supervisor"
)

// starterFD is the socket by which whoever started a supervisor talks to it.
const starterFD = 3

// supervising tells whether kvmrun was started by itself, to look after one VM.
// That is no command for people, and does not wait for those to be made.
func supervising(args []string) bool { return len(args) == 1 && args[0] == launcher.SuperviseWord }

// supervise looks after one VM.
func supervise() error {
	// The VM ends when QEMU does. Until then a supervisor is of use whatever
	// happens around it; SIGKILL does no harm either. The signals are caught and
	// forgotten, not ignored: QEMU would inherit that.
	signal.Notify(make(chan os.Signal, 1), syscall.SIGINT, syscall.SIGTERM, syscall.SIGHUP, syscall.SIGPIPE)
	syscall.CloseOnExec(starterFD)
	closeInherited()
	return supervisor.Run(os.NewFile(starterFD, "starter"))
}

// closeInherited closes what a careless caller left open: a supervisor lives
// long, and would keep the caller's pipes and files open, as would its QEMU. The
// runtime's own descriptors are close-on-exec, so those that are not came from
// outside.
func closeInherited() {
	entries, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		return
	}
	for _, e := range entries {
		fd, err := strconv.Atoi(e.Name())
		if err != nil || fd <= starterFD {
			continue
		}
		if flags, err := unix.FcntlInt(uintptr(fd), unix.F_GETFD, 0); err == nil && flags&unix.FD_CLOEXEC == 0 {
			_ = unix.Close(fd)
		}
	}
}
