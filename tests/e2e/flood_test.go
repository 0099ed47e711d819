package e2e

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/insomniacslk/dhcp/dhcpv4"
)

// Bounds of what a flood may cost a supervisor, as docs/reliability.md states
// them.
const (
	floodTime   = 35 * time.Second // longer than the supervisor's files are left alone
	floodMemory = 48 << 10         // kibibytes of memory of its own
	floodShare  = 4                // the part of one processor, as its inverse
	floodFiles  = 24 << 20         // bytes that its folder takes
)

// TestFlood has a QEMU flood its supervisor with all that a guest, or a QEMU that
// a guest has taken over, can: DHCP and DNS by the tap, events by the monitor, words on
// standard error, each as fast as they are taken. The supervisor stays small and
// does its work, and its own events are not lost.
func TestFlood(t *testing.T) {
	t.Parallel()
	h := newHost(t)
	qemu := h.floodingQEMU(t)
	v := h.start(t, frozen(t, "--name", "web", "--qemu", qemu, "--model", "e1000", "--net-form", "netdev")...)
	supervisor := h.inspect(t, "web").Details.Supervisor.PID
	before := h.spent(t, supervisor)
	most := 0
	for began := time.Now(); time.Since(began) < floodTime; time.Sleep(200 * time.Millisecond) {
		most = max(most, h.ownMemory(t, supervisor))
	}
	spent := h.spent(t, supervisor) - before
	t.Logf("in %v: %v of a processor, at most %d KiB of memory", floodTime, spent, most)
	if spent > floodTime/floodShare {
		t.Errorf("it took %v of a processor's time in %v", spent, floodTime)
	}
	if most > floodMemory {
		t.Errorf("it took %d KiB of memory, at most %d are allowed", most, floodMemory)
	}

	if listed := h.list(t); len(listed) != 1 || listed[0].State != "running" || !listed[0].Supervised {
		t.Errorf("list says %+v", listed)
	}
	heard := h.events(t, "web")
	for _, event := range []string{"started", "dhcp-offered", "RTC_CHANGE", "events-left-out"} {
		if heard[event] == 0 || heard[event] > 200 {
			t.Errorf("event %s was written %d times", event, heard[event])
		}
	}
	used := h.Host.MustRun(t, "du", "-sk", "/run/kvmrun/vms/web")
	if kib, err := strconv.Atoi(strings.Fields(used)[0]); err != nil || kib > floodFiles>>10 {
		t.Errorf("its folder takes %s", used)
	}
	h.must(t, "stop", "--force", v.Name)
	h.isAsBefore(t)
}

// events counts what kvmrun events prints, by name.
func (h *host) events(t *testing.T, name string) map[string]int {
	t.Helper()
	found := map[string]int{}
	for line := range strings.Lines(h.Host.MustRun(t, "kvmrun", "events", name)) {
		var e struct{ Event string }
		if err := json.Unmarshal([]byte(line), &e); err != nil {
			t.Fatalf("no event: %.200q", line)
		}
		found[e.Event]++
	}
	return found
}

// spent is the processor time of a process so far (proc_pid_stat(5)).
func (h *host) spent(t *testing.T, pid int) time.Duration {
	t.Helper()
	text, err := os.ReadFile(h.Host.File(fmt.Sprintf("/proc/%d/stat", pid)))
	if err != nil {
		t.Fatal(err)
	}
	fields := bytes.Fields(text[bytes.LastIndexByte(text, ')')+1:])
	user, err := strconv.Atoi(string(fields[11]))
	if err != nil {
		t.Fatal(err)
	}
	system, err := strconv.Atoi(string(fields[12]))
	if err != nil {
		t.Fatal(err)
	}
	return time.Duration(user+system) * 10 * time.Millisecond
}

// ownMemory is what a process has for itself, in KiB.
func (h *host) ownMemory(t *testing.T, pid int) int {
	t.Helper()
	kib, err := strconv.Atoi(strings.TrimSuffix(h.status(t, pid)["RssAnon"], " kB"))
	if err != nil {
		t.Fatal(err)
	}
	return kib
}

// floodName is the name under which this test binary is a QEMU that floods.
const floodName = "flooding-qemu"

// floodingQEMU puts it where QEMU's user may execute it.
func (h *host) floodingQEMU(t *testing.T) string {
	t.Helper()
	self, err := os.ReadFile("/proc/self/exe")
	if err != nil {
		t.Fatal(err)
	}
	path := "/run/" + floodName
	if err := os.WriteFile(h.Host.File(path), self, 0o755); err != nil {
		t.Fatal(err)
	}
	h.before = h.Host.Snapshot(t)
	return path
}

// beFlood is that QEMU. It does not return.
func beFlood() {
	if err := flood(strings.Join(os.Args, " ")); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	<-make(chan struct{})
}

func flood(command string) error {
	var fds [2]int
	for i, pattern := range []string{`socket,id=qmp-supervisor,fd=(\d+),`, `tap,[^ ]*\bfd=(\d+)`} {
		m := regexp.MustCompile(pattern).FindStringSubmatch(command)
		if m == nil {
			return fmt.Errorf("no %s in %s", pattern, command)
		}
		fds[i], _ = strconv.Atoi(m[1])
	}
	mac, err := net.ParseMAC(regexp.MustCompile(`\bmac=([0-9a-f:]+)`).FindStringSubmatch(command)[1])
	if err != nil {
		return err
	}
	discovery, err := discover(mac)
	if err != nil {
		return err
	}
	frames := [][]byte{discovery, lookUp(mac, "\x03web"), lookUp(mac, "\x07example\x03org")}
	listener, err := net.FileListener(os.NewFile(uintptr(fds[0]), "monitor"))
	if err != nil {
		return err
	}
	conn, err := listener.Accept()
	if err != nil {
		return err
	}
	if err := serveMonitor(conn); err != nil {
		return err
	}
	tap := os.NewFile(uintptr(fds[1]), "tap")
	go func() {
		for {
			for _, frame := range frames {
				_, _ = tap.Write(frame) // a full queue is no reason to end
			}
		}
	}()
	go func() {
		for ; ; time.Sleep(10 * time.Millisecond) {
			fmt.Fprintln(os.Stderr, strings.Repeat("a guest's error ", 1000))
		}
	}()
	return nil
}

// serveMonitor answers everything, and floods with events once it was asked how
// the guest is.
func serveMonitor(conn net.Conn) error {
	const greeting = `{"QMP": {"version": {"qemu": {"micro": 0, "minor": 2, "major": 7}, "package": ""}, "capabilities": []}}` + "\r\n"
	if _, err := io.WriteString(conn, greeting); err != nil {
		return err
	}
	lines := bufio.NewScanner(conn)
	answer := func() (asked string, err error) {
		var command struct {
			Execute string
			ID      json.RawMessage
		}
		if !lines.Scan() {
			return "", io.EOF
		}
		if err := json.Unmarshal(lines.Bytes(), &command); err != nil {
			return "", err
		}
		if command.ID == nil {
			command.ID = json.RawMessage("null")
		}
		result := `{"status": "running"}`
		if command.Execute == "query-chardev" {
			result = "[]"
		}
		_, err = fmt.Fprintf(conn, `{"return": %s, "id": %s}`+"\r\n", result, command.ID)
		return command.Execute, err
	}
	for asked := ""; asked != "query-status"; {
		var err error
		if asked, err = answer(); err != nil {
			return err
		}
	}
	go func() {
		for {
			if _, err := answer(); err != nil {
				return
			}
		}
	}()
	event := `{"event": "RTC_CHANGE", "data": {"offset": 1, "qom-path": "/machine"}, "timestamp": {"seconds": 1, "microseconds": 2}}` + "\r\n"
	go func() {
		for many := strings.Repeat(event, 100); ; {
			if _, err := io.WriteString(conn, many); err != nil {
				return
			}
		}
	}()
	return nil
}

// discover is a DHCPDISCOVER in its frame. Nobody looks at the checksums.
func discover(mac net.HardwareAddr) ([]byte, error) {
	message, err := dhcpv4.NewDiscovery(mac)
	if err != nil {
		return nil, err
	}
	return datagram(mac, []byte{0, 0, 0, 0, 255, 255, 255, 255}, []byte{0, 68, 0, 67}, message.ToBytes()), nil
}

// lookUp is a question for the address of a name, of labels with their lengths.
func lookUp(mac net.HardwareAddr, name string) []byte {
	question := "\x12\x34\x01\x00\x00\x01\x00\x00\x00\x00\x00\x00" + name + "\x00\x00\x01\x00\x01"
	return datagram(mac, []byte{10, 254, 254, 2, 10, 254, 254, 1}, []byte{0x80, 0, 0, 53}, []byte(question))
}

// datagram is a UDP datagram in its frame, between two addresses and two ports.
func datagram(mac net.HardwareAddr, addresses, ports, payload []byte) []byte {
	frame := append(bytes.Repeat([]byte{0xff}, 6), mac...)
	frame = append(frame, 0x08, 0x00, 0x45, 0)
	frame = binary.BigEndian.AppendUint16(frame, uint16(28+len(payload)))
	frame = append(append(frame, 0, 0, 0, 0, 64, 17, 0, 0), addresses...)
	frame = binary.BigEndian.AppendUint16(append(frame, ports...), uint16(8+len(payload)))
	return append(append(frame, 0, 0), payload...)
}

// isFlood tells whether this process is to be that QEMU.
func isFlood() bool { return filepath.Base(os.Args[0]) == floodName }
