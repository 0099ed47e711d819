package qemu

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// qemuUnderTest is the QEMU to test with: KVMRUN_TEST_QEMU, or the system's.
func qemuUnderTest(t *testing.T) string {
	t.Helper()
	if named := os.Getenv("KVMRUN_TEST_QEMU"); named != "" {
		return named // and if it is not there, the test fails
	}
	path, err := exec.LookPath("qemu-system-x86_64")
	if err != nil {
		t.Skipf("no QEMU to test against: %v", err)
	}
	return path
}

// A real QEMU accepts the vectors: it comes up, waits before the guest's first
// instruction, and quits when it is told to. There is no tap, which needs root.
func TestQEMUAcceptsTheVectors(t *testing.T) {
	binary := qemuUnderTest(t)
	for _, machine := range []string{Q35, PC, MicroVM} {
		t.Run(machine, func(t *testing.T) {
			c := full(machine)
			if machine != MicroVM {
				c.Screen = new(Screen)
			}
			tryQEMU(t, binary, c)
		})
	}
}

func tryQEMU(t *testing.T, binary string, c Config) {
	t.Helper()
	dir := t.TempDir()
	image := filepath.Join(dir, "disk, with a comma")
	if err := os.WriteFile(image, make([]byte, 1<<20), 0o600); err != nil {
		t.Fatal(err)
	}
	socket, err := net.ListenUnix("unix", &net.UnixAddr{Name: filepath.Join(dir, "qmp")})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = socket.Close() }()
	file, err := socket.File()
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = file.Close() }()
	c.Binary, c.Memory = binary, 64<<20
	c.Disks[0].Layers = []Layer{{Source: Source(image), Format: "raw"}}
	c.NIC, c.Sets = NIC{}, nil
	c.Monitors = []Socket{{ID: "qmp-supervisor", FD: 3}}
	c.Console = Console{Socket: Socket{ID: "console0", Path: filepath.Join(dir, "a,b")}, Log: Source(filepath.Join(dir, "c,d"))}
	c.Agent = Source(filepath.Join(dir, "e,f"))
	for _, end := range []string{".in", ".out"} {
		if err := syscall.Mkfifo(string(c.Agent)+end, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	c.Extra = []string{"-S"}
	args := c.Args()
	var said strings.Builder
	cmd := &exec.Cmd{Path: args[0], Args: args, Env: []string{}, Stderr: &said, ExtraFiles: []*os.File{file}}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	// From here on only QEMU has the socket: if it ends, nobody waits for it.
	address := socket.Addr().String()
	socket.SetUnlinkOnClose(false)
	_, _ = socket.Close(), file.Close()
	stop := time.AfterFunc(time.Minute, func() { _ = cmd.Process.Kill() })
	defer stop.Stop()
	talk := converse(address)
	if err := errors.Join(talk, cmd.Wait()); err != nil {
		t.Errorf("%v\n%s\n%s", err, said.String(), strings.Join(args, " "))
	}
	if said.Len() > 0 {
		t.Errorf("QEMU has something to say of the vector: %s", said.String())
	}
	if _, err := os.Stat(filepath.Join(dir, "c,d")); err != nil { // the socket goes with QEMU
		t.Errorf("a path with a comma is not what QEMU made of it: %v", err)
	}
}

// converse asks for the status over QMP, and has QEMU quit. It speaks only the
// little that this needs, so that no client of ours stands between.
func converse(socket string) error {
	conn, err := net.Dial("unix", socket)
	if err != nil {
		return err
	}
	defer func() { _ = conn.Close() }()
	lines := bufio.NewScanner(conn)
	if !lines.Scan() {
		return errors.New("QEMU hung up without a greeting")
	}
	for _, command := range []string{"qmp_capabilities", "query-status", "quit"} {
		if _, err := fmt.Fprintf(conn, `{"execute": %q, "id": %q}`+"\n", command, command); err != nil {
			return err
		}
		for lines.Scan() {
			var reply struct {
				ID     string
				Return struct{ Status string }
				Error  any
			}
			if err := json.Unmarshal(lines.Bytes(), &reply); err != nil {
				return err
			}
			if reply.Error != nil || command == "query-status" && reply.ID == command && reply.Return.Status != "prelaunch" {
				return fmt.Errorf("%s: %s", command, lines.Text())
			}
			if reply.ID == command {
				break
			}
		}
	}
	return nil
}
