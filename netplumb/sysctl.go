package netplumb

import (
	"errors"
	"fmt"
	"strings"

	"golang.org/x/sys/unix"
)

// The per-interface settings that are changed; * stands for the interface
// (Linux Documentation/networking/ip-sysctl.rst).
const (
	forwarding  = "net/ipv4/conf/*/forwarding"
	proxyARP    = "net/ipv4/conf/*/proxy_arp"
	rpFilter    = "net/ipv4/conf/*/rp_filter"
	proxyDelay  = "net/ipv4/neigh/*/proxy_delay"
	disableIPv6 = "net/ipv6/conf/*/disable_ipv6"
)

// sysctl is a setting of one interface and the value wanted. It is written
// through /proc even where netlink could: only there does the kernel take the
// side effects of forwarding, like switching off large receive offload.
type sysctl struct {
	name, iface, value string
}

func (s sysctl) String() string { return "sysctl " + s.word() }

// word is the setting's name for the sysctl command: with dots, or with
// slashes where the interface's own name has dots.
func (s sysctl) word() string {
	path := strings.Replace(s.name, "*", s.iface, 1)
	if strings.Contains(s.iface, ".") {
		return path
	}
	return strings.ReplaceAll(path, "/", ".")
}

func (s sysctl) path() string { return "/proc/sys/" + strings.Replace(s.name, "*", s.iface, 1) }

// read returns the value without the final newline. The error is ENOENT if the
// interface is gone. The file belongs to the calling thread's namespace.
func (s sysctl) read() (string, error) {
	var buf [64]byte
	n, err := s.access(unix.O_RDONLY, func(fd int) (int, error) { return unix.Read(fd, buf[:]) })
	return strings.TrimSpace(string(buf[:max(n, 0)])), err
}

func (s sysctl) write(value string) error {
	_, err := s.access(unix.O_WRONLY, func(fd int) (int, error) { return unix.Write(fd, []byte(value)) })
	return err
}

// access opens the file for one system call. os.File would first try to poll it.
func (s sysctl) access(mode int, call func(fd int) (int, error)) (int, error) {
	fd, err := unix.Open(s.path(), mode|unix.O_CLOEXEC, 0)
	if err != nil {
		return 0, fmt.Errorf("open %s: %w", s.path(), err)
	}
	defer func() { _ = unix.Close(fd) }()
	// Writing forwarding restarts the system call, with EINTR or its kin,
	// while another holds the RTNL lock.
	for {
		n, err := call(fd)
		switch {
		case err == nil:
			return n, nil
		case !errors.Is(err, unix.EINTR) && !errors.Is(err, unix.ERESTART):
			return 0, fmt.Errorf("access %s: %w", s.path(), err)
		}
	}
}

// last is the setting's name without its path.
func (s sysctl) last() string { return s.name[strings.LastIndexByte(s.name, '/')+1:] }

// set is the command that gives the setting its value.
func (s sysctl) set() string { return fmt.Sprintf("sysctl -q -w %s=%s", s.word(), s.value) }

// shell keeps the old value in a variable named after the setting.
func (s sysctl) shell() Commands {
	variable := "old_" + s.last()
	return Commands{
		Do:   []string{fmt.Sprintf("%s=$(sysctl -n %s)", variable, s.word()), s.set()},
		Undo: []string{fmt.Sprintf(`sysctl -q -w %s="$%s"`, s.word(), variable)},
	}
}
