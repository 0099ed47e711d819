package e2e

import (
	"fmt"
	"maps"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"kvmrun/tests/lab"
)

// TestQEMUReachesOnlyWhatItWasHanded holds every open file of a QEMU whose guest
// runs against the table in docs/architecture.md, and finds its folder closed to
// others.
func TestQEMUReachesOnlyWhatItWasHanded(t *testing.T) {
	t.Parallel()
	h := newHost(t)
	g := lab.Guest(t)
	disk := g.CopyDisk(t)
	v := h.startNet(t, append(boot(t), "--name", "web", "--disk", disk, "--ephemeral")...)
	const dir = "/run/kvmrun/vms/web/"
	handed := []string{
		"read /dev/null",
		"read and write " + dir + "qemu.log",
		"write " + dir + "console.log",
		"read " + g.Kernel,
		"read " + g.Initrd,
		"read " + disk,
		"read and write an overlay without a name",
		"read and write the tap kr-web",
		"socket supervisor.sock",
		"socket qmp.sock",
		"socket console.sock",
		"read " + dir + "agent",
		"read and write " + dir + "agent/port.in",
		"read and write " + dir + "agent/port.out",
	}
	open := h.openFiles(t, v.PID)
	for _, file := range handed {
		if !open[file] {
			t.Errorf("QEMU has not: %s", file)
		}
		delete(open, file)
	}
	// Where QEMU is a wrapper script, the shell may leave that open.
	delete(open, "read "+h.inspect(t, v.Name).Command[0])
	for _, file := range slices.Sorted(maps.Keys(open)) {
		itsOwn := ofQEMU.MatchString(file) || accel() == "kvm" && ofKVM.MatchString(file)
		if !itsOwn {
			t.Errorf("QEMU has, and was not handed: %s", file)
		}
	}
	for _, path := range []string{dir, dir + "qmp.sock"} {
		if r := h.Host.Run(t, "setpriv", "--reuid=65534", "--clear-groups", "ls", path); r.ExitCode == 0 {
			t.Errorf("anybody may look at %s", path)
		}
	}
	h.must(t, "stop", "--force", v.Name)
	h.isAsBefore(t)
}

// What QEMU makes for itself. None of it is a file that others could see, but
// for the devices by which it uses KVM.
var (
	ofQEMU = regexp.MustCompile(`^read and write anon_inode:\[(eventfd|eventpoll|signalfd|timerfd|io_uring)\]$`)
	ofKVM  = regexp.MustCompile(`^read and write (anon_inode:kvm-(vm|vcpu:\d+|vcpu-stats:\d+|device)|/dev/kvm|/dev/vhost-net)$`)
)

// openFiles are the open files of a process of the host, each as how it may be
// used and what it is. Two of one kind are one.
func (h *host) openFiles(t *testing.T, pid int) map[string]bool {
	t.Helper()
	lines := h.sh(t, fmt.Sprintf(`cd /proc/%d/fd; for fd in *; do
		echo "$(sed -n 's/^flags:\s*//p' ../fdinfo/$fd) $(sed -n 's/^iff:\s*//p' ../fdinfo/$fd)|$(readlink $fd)"
	done`, pid))
	sockets := h.sh(t, "cat /proc/net/unix")
	files := map[string]bool{}
	for line := range strings.Lines(lines) {
		info, target, _ := strings.Cut(strings.TrimSuffix(line, "\n"), "|")
		flags, tap, _ := strings.Cut(info, " ")
		access := map[byte]string{'0': "read ", '1': "write ", '2': "read and write "}[flags[len(flags)-1]]
		switch inode, isSocket := strings.CutPrefix(target, "socket:["); {
		case isSocket:
			files["socket "+socketName(sockets, strings.TrimSuffix(inode, "]"))] = true
		case target == "/dev/net/tun":
			files[access+"the tap "+tap] = true
		case strings.HasPrefix(target, "/var/lib/kvmrun/overlays/#") && strings.HasSuffix(target, " (deleted)"):
			files[access+"an overlay without a name"] = true
		default:
			files[access+target] = true
		}
	}
	return files
}

// socketName is the last part of a Unix socket's path; a connection's is that
// of the socket which accepted it. Any other socket is its number.
func socketName(table, inode string) string {
	for line := range strings.Lines(table) {
		if fields := strings.Fields(line); len(fields) == 8 && fields[6] == inode {
			return filepath.Base(fields[7])
		}
	}
	return "number " + inode
}
