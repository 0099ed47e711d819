package images

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"
)

// qemu is a QEMU without a running guest that was handed its disks as
// descriptors. It runs under another user where it can: the files it uses are
// not its own.
type qemu struct {
	cmd     *exec.Cmd
	output  bytes.Buffer
	monitor net.Conn
	lines   *bufio.Scanner
}

// startQEMU hands it the layers, from the top down, each as a descriptor.
func startQEMU(t *testing.T, layers []Layer) *qemu {
	t.Helper()
	program := qemuSystem(t)
	ours, theirs := socketpair(t)
	args := []string{"-nodefaults", "-no-user-config", "-machine", "q35,accel=tcg", "-display", "none", "-S",
		"-chardev", "socket,id=monitor,fd=3", "-mon", "chardev=monitor,mode=control"}
	files := []*os.File{theirs}
	for i := len(layers) - 1; i >= 0; i-- {
		files = append(files, layers[i].File)
		args = append(args, "-add-fd", fmt.Sprintf("fd=%d,set=%d", 2+len(files), i))
		args = append(args, nodes(layers, i)...)
	}
	q := &qemu{cmd: exec.Command(program, append(args, "-device", "virtio-blk-pci,id=disk,drive=format0")...)}
	q.cmd.ExtraFiles = files
	q.cmd.Stdout, q.cmd.Stderr = &q.output, &q.output
	if os.Geteuid() == 0 && everybodyReaches(program) {
		q.cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: 65534, Gid: 65534}}
	}
	must(t, q.cmd.Start())
	must(t, theirs.Close())
	q.monitor, q.lines = ours, bufio.NewScanner(ours)
	q.lines.Buffer(nil, 1<<20)
	t.Cleanup(func() { q.stop(t) })
	return q
}

// qemuSystem is the QEMU to test with: KVMRUN_TEST_QEMU, or the system's.
func qemuSystem(t *testing.T) string {
	t.Helper()
	if named := os.Getenv("KVMRUN_TEST_QEMU"); named != "" {
		return named // and if it is not there, the test fails
	}
	need(t, "qemu-system-x86_64")
	path, err := exec.LookPath("qemu-system-x86_64")
	must(t, err)
	return path
}

// everybodyReaches tells whether other users may execute a program. One that was
// unpacked in root's home is out of their reach.
func everybodyReaches(path string) bool {
	for ; path != "/"; path = filepath.Dir(path) {
		if info, err := os.Stat(path); err != nil || info.Mode()&0o001 == 0 {
			return false
		}
	}
	return true
}

// nodes are the two block nodes of one layer: the file and its format.
func nodes(layers []Layer, i int) []string {
	l := &layers[i]
	file := map[string]any{"driver": "file", "node-name": fmt.Sprint("file", i),
		"filename": fmt.Sprint("/dev/fdset/", i), "read-only": l.ReadOnly}
	if l.Info.Device {
		file["driver"] = "host_device"
	}
	format := map[string]any{"driver": string(l.Format), "node-name": fmt.Sprint("format", i),
		"file": file["node-name"], "read-only": l.ReadOnly}
	if i+1 < len(layers) {
		format["backing"] = fmt.Sprint("format", i+1)
	}
	var args []string
	for _, node := range []any{file, format} {
		text, _ := json.Marshal(node)
		args = append(args, "-blockdev", string(text))
	}
	return args
}

func socketpair(t *testing.T) (net.Conn, *os.File) {
	t.Helper()
	fds, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	must(t, err)
	f := os.NewFile(uintptr(fds[0]), "monitor")
	defer func() { _ = f.Close() }()
	conn, err := net.FileConn(f)
	must(t, err)
	return conn, os.NewFile(uintptr(fds[1]), "monitor")
}

// ready says whether QEMU came up, which it does once it has all its locks.
func (q *qemu) ready() bool {
	if _, err := q.execute("qmp_capabilities", nil); err != nil {
		return false
	}
	_, err := q.execute("query-status", nil)
	return err == nil
}

// execute sends a command and returns its reply; other lines are passed over.
func (q *qemu) execute(command string, arguments any) (json.RawMessage, error) {
	request := map[string]any{"execute": command}
	if arguments != nil {
		request["arguments"] = arguments
	}
	if err := json.NewEncoder(q.monitor).Encode(request); err != nil {
		return nil, err
	}
	for q.lines.Scan() {
		var reply struct{ Return, Error json.RawMessage }
		if err := json.Unmarshal(q.lines.Bytes(), &reply); err != nil {
			return nil, err
		}
		if reply.Error != nil {
			return nil, fmt.Errorf("%s: %s", command, reply.Error)
		}
		if reply.Return != nil {
			return reply.Return, nil
		}
	}
	return nil, fmt.Errorf("%s: QEMU is gone", command)
}

// io runs a command of qemu-io's in place of the guest.
func (q *qemu) io(t *testing.T, command string) {
	t.Helper()
	reply, err := q.execute("human-monitor-command", map[string]string{"command-line": `qemu-io -d /machine/peripheral/disk/virtio-backend "` + command + `"`})
	if err != nil || strings.Contains(string(reply), "rror") {
		t.Fatalf("%s: %s, %v", command, reply, err)
	}
}

// stop ends QEMU, if it is there still, and returns what it printed.
func (q *qemu) stop(t *testing.T) string {
	if q.cmd.ProcessState == nil {
		_, _ = q.execute("quit", nil)
		_ = q.monitor.Close()
		if err := q.cmd.Wait(); err != nil {
			t.Logf("%q: %v\n%s", q.cmd.Args, err, q.output.String())
		}
	}
	return q.output.String()
}

// TestQEMUUsesChain runs QEMU on an unnamed overlay over a chain, by
// descriptors alone, and looks at the nodes that it made of them.
func TestQEMUUsesChain(t *testing.T) {
	folder := t.TempDir()
	raw := writeFile(t, folder+"/base.img", bytes.Repeat([]byte{0x11}, 4<<20))
	middle := folder + "/middle.qcow2"
	must(t, CreateOverlay(middle, Overlay{VirtualSize: 4 << 20, BackingFile: "base.img", BackingFormat: Raw}))
	c, err := Open(middle, Options{ReadOnly: true})
	must(t, err)
	defer func() { _ = c.Close() }()
	must(t, c.Cover(folder, 8<<20))
	if c.VirtualSize() != 8<<20 || c.Top().ReadOnly {
		t.Errorf("the overlay is %+v", c.Top())
	}
	must(t, c.CheckUnused())

	q := startQEMU(t, c.Layers)
	if !q.ready() {
		t.Fatalf("QEMU did not start: %s", q.stop(t))
	}
	wantNodes(t, q)
	q.io(t, "read -P 0x11 1M 64k")
	q.io(t, "write -P 0x22 1M 64k")
	q.io(t, "read -P 0x22 1M 64k")
	q.io(t, "read -P 0x11 1088k 64k")
	q.io(t, "read -P 0 4M 4M") // above the end of the base
	if out := q.stop(t); strings.Count(out, "read 65536/65536") != 3 || strings.Contains(out, "failed") {
		t.Errorf("reading and writing went wrong:\n%s", out)
	}
	if content, err := os.ReadFile(raw); err != nil || !bytes.Equal(content, bytes.Repeat([]byte{0x11}, 4<<20)) {
		t.Errorf("the base was written: %v", err)
	}
	wantWhole(t, c.Top().File)
}

// wantNodes checks the nodes by QMP: the formats, and who lies on whom.
func wantNodes(t *testing.T, q *qemu) {
	t.Helper()
	reply, err := q.execute("query-named-block-nodes", nil)
	must(t, err)
	var found []struct {
		Name  string `json:"node-name"`
		Drv   string
		RO    bool
		Image struct {
			Size    int64           `json:"virtual-size"`
			Backing json.RawMessage `json:"backing-image"`
		}
	}
	must(t, json.Unmarshal(reply, &found))
	got := map[string]string{}
	for _, n := range found {
		got[n.Name] = fmt.Sprint(n.Drv, n.RO, n.Image.Size, n.Image.Backing != nil)
	}
	for name, want := range map[string]string{
		"format0": fmt.Sprint("qcow2", false, 8<<20, true),
		"format1": fmt.Sprint("qcow2", true, 4<<20, true),
		"format2": fmt.Sprint("raw", true, 4<<20, false),
	} {
		if got[name] != want {
			t.Errorf("node %s is %q, not %q", name, got[name], want)
		}
	}
}

// wantWhole examines an image that QEMU has written to and let go of.
func wantWhole(t *testing.T, f *os.File) {
	t.Helper()
	stat, err := f.Stat()
	must(t, err)
	content := make([]byte, stat.Size())
	_, err = f.ReadAt(content, 0)
	must(t, err)
	_, err = examineBytes("overlay", content, QCOW2)
	wantKind(t, err, nil)
	path := writeFile(t, t.TempDir()+"/copy.qcow2", content)
	if status := checkStatus(t, path); status != 0 {
		t.Errorf("qemu-img check says %d", status)
	}
}
