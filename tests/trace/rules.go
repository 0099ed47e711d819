package trace

import (
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"
)

// rule says of a system call which of its entries change the host, and which
// arguments a message shows.
type rule struct {
	name    string
	shows   string             // a letter for each argument
	changes func(e entry) bool // nil: all do
}

// The letters.
const (
	hidden = '-'
	path   = 'p'
	file   = 'f'
	number = 'n'
	bits   = 'x'
	signal = 's'
	packet = 'm' // what is sent, whose length is the next argument
)

// rules are the system calls that can change something outside the process. A
// call that is not here changes nothing, or only what ends with the process and
// nobody else sees.
var rules = map[uintptr]rule{
	// Files and directories.
	unix.SYS_OPEN:         {"open", "px", opens(1)},
	unix.SYS_OPENAT:       {"openat", "-px", opens(2)},
	unix.SYS_OPENAT2:      {"openat2", "-p", nil},
	unix.SYS_CREAT:        {"creat", "p", nil},
	unix.SYS_MKDIR:        {"mkdir", "p", nil},
	unix.SYS_MKDIRAT:      {"mkdirat", "-p", nil},
	unix.SYS_RMDIR:        {"rmdir", "p", nil},
	unix.SYS_UNLINK:       {"unlink", "p", nil},
	unix.SYS_UNLINKAT:     {"unlinkat", "-px", nil},
	unix.SYS_RENAME:       {"rename", "pp", nil},
	unix.SYS_RENAMEAT:     {"renameat", "-p-p", nil},
	unix.SYS_RENAMEAT2:    {"renameat2", "-p-px", nil},
	unix.SYS_LINK:         {"link", "pp", nil},
	unix.SYS_LINKAT:       {"linkat", "-p-p", nil},
	unix.SYS_SYMLINK:      {"symlink", "pp", nil},
	unix.SYS_SYMLINKAT:    {"symlinkat", "p-p", nil},
	unix.SYS_MKNOD:        {"mknod", "px", nil},
	unix.SYS_MKNODAT:      {"mknodat", "-px", nil},
	unix.SYS_CHMOD:        {"chmod", "px", nil},
	unix.SYS_FCHMOD:       {"fchmod", "fx", nil},
	unix.SYS_FCHMODAT:     {"fchmodat", "-px", nil},
	unix.SYS_FCHMODAT2:    {"fchmodat2", "-px", nil},
	unix.SYS_CHOWN:        {"chown", "pnn", nil},
	unix.SYS_LCHOWN:       {"lchown", "pnn", nil},
	unix.SYS_FCHOWN:       {"fchown", "fnn", nil},
	unix.SYS_FCHOWNAT:     {"fchownat", "-pnn", nil},
	unix.SYS_UTIMENSAT:    {"utimensat", "-p", nil},
	unix.SYS_SETXATTR:     {"setxattr", "pp", nil},
	unix.SYS_FSETXATTR:    {"fsetxattr", "fp", nil},
	unix.SYS_TRUNCATE:     {"truncate", "pn", nil},
	unix.SYS_FTRUNCATE:    {"ftruncate", "fn", nil},
	unix.SYS_FALLOCATE:    {"fallocate", "fxnn", nil},
	unix.SYS_MEMFD_CREATE: {"memfd_create", "px", nil},

	// What is written.
	unix.SYS_WRITE:           {"write", "f-n", writes(0)},
	unix.SYS_WRITEV:          {"writev", "f", writes(0)},
	unix.SYS_PWRITE64:        {"pwrite64", "f-nn", writes(0)},
	unix.SYS_PWRITEV:         {"pwritev", "f", writes(0)},
	unix.SYS_PWRITEV2:        {"pwritev2", "f", writes(0)},
	unix.SYS_SENDFILE:        {"sendfile", "ff-n", writes(0)},
	unix.SYS_SPLICE:          {"splice", "f-f-n", writes(2)},
	unix.SYS_COPY_FILE_RANGE: {"copy_file_range", "f-f-n", writes(2)},

	// Sockets: netlink, packets, other processes.
	unix.SYS_BIND:       {"bind", "f", nil},
	unix.SYS_LISTEN:     {"listen", "f", nil},
	unix.SYS_CONNECT:    {"connect", "f", nil},
	unix.SYS_SENDTO:     {"sendto", "fmn", func(e entry) bool { return !e.message().asks() }},
	unix.SYS_SENDMSG:    {"sendmsg", "f", nil},
	unix.SYS_SENDMMSG:   {"sendmmsg", "f", nil},
	unix.SYS_SHUTDOWN:   {"shutdown", "fn", nil},
	unix.SYS_SETSOCKOPT: {"setsockopt", "fnn", func(e entry) bool { return e.args[1] == unix.SOL_PACKET }},
	unix.SYS_IOCTL:      {"ioctl", "fx", func(e entry) bool { return !asks[e.args[1]] }},

	// Locks, and descriptors whose last copy takes something with it.
	unix.SYS_FLOCK: {"flock", "fx", nil},
	unix.SYS_FCNTL: {"fcntl", "fn", func(e entry) bool { return locks[e.args[1]] }},
	unix.SYS_CLOSE: {"close", "f", func(e entry) bool { return holds(e.target(0)) }},

	// Processes.
	unix.SYS_CLONE:             {"clone", "x", func(e entry) bool { return e.args[0]&unix.CLONE_THREAD == 0 }},
	unix.SYS_CLONE3:            {"clone3", "", func(e entry) bool { return e.flags()&unix.CLONE_THREAD == 0 }},
	unix.SYS_FORK:              {"fork", "", nil},
	unix.SYS_VFORK:             {"vfork", "", nil},
	unix.SYS_EXECVE:            {"execve", "p", nil},
	unix.SYS_EXECVEAT:          {"execveat", "-p", nil},
	unix.SYS_EXIT_GROUP:        {"exit_group", "n", nil},
	unix.SYS_KILL:              {"kill", "ns", func(e entry) bool { return e.args[1] != 0 }},
	unix.SYS_TKILL:             {"tkill", "ns", nil},
	unix.SYS_TGKILL:            {"tgkill", "nns", func(e entry) bool { return int(e.args[0]) != e.pid }},
	unix.SYS_PIDFD_SEND_SIGNAL: {"pidfd_send_signal", "fs", func(e entry) bool { return e.args[1] != 0 }},
	unix.SYS_RT_SIGQUEUEINFO:   {"rt_sigqueueinfo", "ns", nil},

	// The machine as a whole.
	unix.SYS_MOUNT:       {"mount", "ppp", nil},
	unix.SYS_UMOUNT2:     {"umount2", "p", nil},
	unix.SYS_UNSHARE:     {"unshare", "x", nil},
	unix.SYS_SETNS:       {"setns", "fx", nil},
	unix.SYS_SETHOSTNAME: {"sethostname", "p", nil},
}

// opens tells of the flags of an open whether it makes a file, or is the first
// step to writing one.
func opens(flags int) func(entry) bool {
	const changing = unix.O_CREAT | unix.O_TRUNC | unix.O_TMPFILE&^unix.O_DIRECTORY | unix.O_WRONLY | unix.O_RDWR
	return func(e entry) bool { return e.args[flags]&changing != 0 }
}

// writes leaves out what a process writes to itself: Go wakes its threads by
// eventfd, and hears by a pipe whether a program could be executed. The pipes
// of the standard streams lead to others.
func writes(to int) func(entry) bool {
	return func(e entry) bool {
		target := e.target(to)
		own := strings.HasPrefix(target, "pipe:") && e.args[to] > 2
		return !own && target != "anon_inode:[eventfd]" && target != "/dev/null"
	}
}

// asks are the requests of ioctl that change nothing.
var asks = map[uintptr]bool{
	unix.TCGETS: true, unix.TIOCGWINSZ: true, unix.TIOCINQ: true,
	unix.TUNGETIFF: true, unix.TUNGETFEATURES: true,
	unix.SIOCGIFINDEX: true, unix.SIOCGIFNAME: true, unix.SIOCGIFFLAGS: true,
	unix.SIOCGIFHWADDR: true, unix.SIOCGIFMTU: true, unix.SIOCETHTOOL: true,
}

// locks are the requests of fcntl that take or drop a lock.
var locks = map[uintptr]bool{
	unix.F_SETLK: true, unix.F_SETLKW: true, unix.F_OFD_SETLK: true, unix.F_OFD_SETLKW: true,
}

// holds tells of what a descriptor refers to whether its last copy takes
// something with it that others see: a lock, a tap, the end of a conversation,
// an overlay without a name.
func holds(target string) bool {
	return strings.HasPrefix(target, "socket:") || target == "/dev/net/tun" ||
		filepath.Base(target) == "lock" || strings.HasSuffix(target, " (deleted)")
}

// rule tells of a system call's entry whether it changes the host.
func (e entry) rule() (r rule, changes bool) {
	r, known := rules[e.number]
	return r, known && (r.changes == nil || r.changes(e))
}
