package trace

import (
	"errors"
	"os"
	"unsafe"

	"golang.org/x/sys/unix"
)

// options make new threads, children and programs stop and be traced too.
const options = unix.PTRACE_O_TRACESYSGOOD | unix.PTRACE_O_TRACECLONE | unix.PTRACE_O_TRACEFORK |
	unix.PTRACE_O_TRACEVFORK | unix.PTRACE_O_TRACEEXEC

// syscallStop is the signal of a stop at a system call (PTRACE_O_TRACESYSGOOD).
const syscallStop = unix.SIGTRAP | 0x80

// ptrace is the request as it is. That a traced thread is gone is no error: wait
// tells of it too.
func ptrace(name string, request, tid int, address, data uintptr) error {
	_, _, errno := unix.Syscall6(unix.SYS_PTRACE, uintptr(request), uintptr(tid), address, data, 0, 0)
	if errno != 0 && !errors.Is(errno, unix.ESRCH) {
		return os.NewSyscallError("ptrace "+name, errno)
	}
	return nil
}

// seize begins to trace a thread that runs, if it still does.
func seize(tid int) (traced bool, err error) {
	_, _, errno := unix.Syscall6(unix.SYS_PTRACE, unix.PTRACE_SEIZE, uintptr(tid), 0, options, 0, 0)
	switch errno {
	case 0:
		return true, interrupt(tid)
	case unix.ESRCH:
		return false, nil
	}
	return false, os.NewSyscallError("ptrace seize", errno)
}

// interrupt makes a thread stop soon, wherever it is.
func interrupt(tid int) error { return ptrace("interrupt", unix.PTRACE_INTERRUPT, tid, 0, 0) }

// resume lets a thread go on to its next system call, with a signal or 0.
func resume(tid int, s unix.Signal) error {
	return ptrace("syscall", unix.PTRACE_SYSCALL, tid, 0, uintptr(s))
}

// detach lets a thread that has stopped go on for good.
func detach(tid int, s unix.Signal) error {
	return ptrace("detach", unix.PTRACE_DETACH, tid, 0, uintptr(s))
}

// syscallInfo is struct ptrace_syscall_info of linux/ptrace.h.
type syscallInfo struct {
	op     uint8
	_      [3]uint8
	_      uint32 // arch
	_, _   uint64 // instruction and stack pointer
	number uint64
	args   [6]uint64
	_      uint64
}

// entered tells of a thread at a system call stop whether that is the entry,
// and of which call.
func entered(tid int) (number uintptr, args [6]uintptr, yes bool) {
	var info syscallInfo
	if ptrace("get syscall info", unix.PTRACE_GET_SYSCALL_INFO, tid, unsafe.Sizeof(info), uintptr(unsafe.Pointer(&info))) != nil {
		return 0, args, false
	}
	for i, a := range info.args {
		args[i] = uintptr(a)
	}
	return uintptr(info.number), args, info.op == unix.PTRACE_SYSCALL_INFO_ENTRY
}
