package trace

import (
	"testing"

	"golang.org/x/sys/unix"
)

// Which calls change the host, where that depends on the arguments alone.
func TestRules(t *testing.T) {
	none := [6]uintptr{}
	for _, test := range []struct {
		name   string
		number uintptr
		args   [6]uintptr
		want   bool
	}{
		{"open to read", unix.SYS_OPENAT, [6]uintptr{2: unix.O_RDONLY | unix.O_CLOEXEC}, false},
		{"open a directory", unix.SYS_OPENAT, [6]uintptr{2: unix.O_RDONLY | unix.O_DIRECTORY}, false},
		{"open to write", unix.SYS_OPENAT, [6]uintptr{2: unix.O_WRONLY}, true},
		{"open to do both", unix.SYS_OPENAT, [6]uintptr{2: unix.O_RDWR}, true},
		{"create", unix.SYS_OPENAT, [6]uintptr{2: unix.O_CREAT}, true},
		{"create without a name", unix.SYS_OPENAT, [6]uintptr{2: unix.O_TMPFILE}, true},
		{"truncate", unix.SYS_OPENAT, [6]uintptr{2: unix.O_TRUNC}, true},
		{"new thread", unix.SYS_CLONE, [6]uintptr{unix.CLONE_THREAD | unix.CLONE_VM}, false},
		{"new process", unix.SYS_CLONE, [6]uintptr{unix.CLONE_VFORK | unix.CLONE_VM}, true},
		{"signal to itself", unix.SYS_TGKILL, [6]uintptr{77, 78, uintptr(unix.SIGURG)}, false},
		{"signal to another", unix.SYS_TGKILL, [6]uintptr{76, 76, uintptr(unix.SIGTERM)}, true},
		{"question whether a process is", unix.SYS_KILL, [6]uintptr{76, 0}, false},
		{"signal by pidfd", unix.SYS_PIDFD_SEND_SIGNAL, [6]uintptr{9, uintptr(unix.SIGTERM)}, true},
		{"take a lock", unix.SYS_FCNTL, [6]uintptr{9, unix.F_OFD_SETLK}, true},
		{"look at a lock", unix.SYS_FCNTL, [6]uintptr{9, unix.F_OFD_GETLK}, false},
		{"make a tap", unix.SYS_IOCTL, [6]uintptr{9, unix.TUNSETIFF}, true},
		{"ask of a tap", unix.SYS_IOCTL, [6]uintptr{9, unix.TUNGETIFF}, false},
		{"join a group of packets", unix.SYS_SETSOCKOPT, [6]uintptr{9, unix.SOL_PACKET}, true},
		{"buffer of a socket", unix.SYS_SETSOCKOPT, [6]uintptr{9, unix.SOL_SOCKET}, false},
		{"rename", unix.SYS_RENAMEAT2, none, true},
		{"remove", unix.SYS_UNLINKAT, none, true},
		{"read", unix.SYS_READ, none, false},
		{"wait", unix.SYS_EPOLL_PWAIT, none, false},
	} {
		e := entry{tid: 78, pid: 77, number: test.number, args: test.args}
		if _, got := e.rule(); got != test.want {
			t.Errorf("%s: %v, want %v", test.name, got, test.want)
		}
	}
}

// Which descriptors take something with them.
func TestHolds(t *testing.T) {
	for target, want := range map[string]bool{
		"/run/kvmrun/vms/web/lock":      true,
		"/dev/net/tun":                  true,
		"socket:[1]":                    true,
		"/var/lib/overlay/#7 (deleted)": true,
		"/run/kvmrun/vms/web/spec.json": false,
		"anon_inode:[eventpoll]":        false,
	} {
		if got := holds(target); got != want {
			t.Errorf("%s: %v, want %v", target, got, want)
		}
	}
}

// Questions to the kernel's network are told from changes.
func TestMessages(t *testing.T) {
	for kind, asks := range map[uint16]bool{
		unix.RTM_NEWLINK: false, unix.RTM_DELLINK: false, unix.RTM_GETLINK: true, unix.RTM_SETLINK: false,
		unix.RTM_NEWNEIGH: false, unix.RTM_GETNEIGH: true, unix.RTM_GETROUTE: true, unix.RTM_DELROUTE: false, 0: false,
	} {
		if got := (message{kind}).asks(); got != asks {
			t.Errorf("type %d: %v, want %v", kind, got, asks)
		}
	}
}
