package e2e

import (
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"kvmrun/tests/lab"
)

func TestMonitorCommands(t *testing.T) {
	t.Parallel()
	h := newHost(t)
	v := h.start(t, frozen(t)...)
	var status struct {
		Running bool
		Status  string
	}
	decode(t, h.must(t, "qmp", v.Name, "query-status"), &status)
	if status.Running || status.Status != "prelaunch" {
		t.Errorf("query-status of a VM that was started with -S: %+v", status)
	}
	var info string
	decode(t, h.must(t, "qmp", v.Name, "human-monitor-command", `{"command-line": "info network"}`), &info)
	if !strings.Contains(info, v.MAC) {
		t.Errorf("info network does not name the card: %s", info)
	}
	if message := h.fails(t, 11, "qmp", v.Name, "no-such-command"); !strings.Contains(message, "CommandNotFound") {
		t.Errorf("the error has lost its class: %s", message)
	}
	h.fails(t, 11, "qmp", v.Name, "device_del", `{"id": "nobody"}`)
	h.fails(t, 2, "qmp", v.Name, "query-status", `[1]`)
	h.fails(t, 2, "qmp", v.Name)
	if schema := h.must(t, "qmp", v.Name, "query-qmp-schema"); len(schema) < 100_000 {
		t.Errorf("a long reply has %d bytes", len(schema))
	}
	h.must(t, "stop", "--force", v.Name)
	h.isAsBefore(t)
}

// TestManyWaitForTheMonitor has more clients at once than QEMU lets wait.
func TestManyWaitForTheMonitor(t *testing.T) {
	t.Parallel()
	h := newHost(t)
	v := h.start(t, frozen(t)...)
	var clients []*lab.Process
	for range 8 {
		clients = append(clients, h.Host.Start(t, "kvmrun", "qmp", v.Name, "query-status"))
	}
	for _, c := range clients {
		if r := c.Wait(t, patience); r.ExitCode != 0 {
			t.Errorf("one of %d clients: %s", len(clients), r)
		}
	}
	h.must(t, "stop", "--force", v.Name)
	h.isAsBefore(t)
}

// holdMonitor connects to a VM's monitor, which serves nobody else until that is closed.
func (h *host) holdMonitor(t *testing.T, name string) net.Conn {
	t.Helper()
	holder, err := net.Dial("unix", h.Host.File(h.inspect(t, name).Files["monitor"]))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = holder.Close() })
	if _, err := holder.Read(make([]byte, 1)); err != nil { // QEMU's greeting: it serves this one
		t.Fatal(err)
	}
	return holder
}

// TestGivingUpOnTheMonitor waits behind a client that does not leave.
func TestGivingUpOnTheMonitor(t *testing.T) {
	t.Parallel()
	h := newHost(t)
	v := h.start(t, frozen(t)...)
	holder := h.holdMonitor(t, v.Name)
	if message := h.fails(t, 12, "qmp", v.Name, "query-status", "--timeout", "200ms"); !strings.Contains(message, "one at a time") {
		t.Errorf("no word of why: %s", message)
	}
	p := h.Host.Start(t, "kvmrun", "qmp", v.Name, "query-status")
	lab.Eventually(t, patience, func() error { return connected(p.PID) })
	p.Signal(t, unix.SIGINT)
	if r := p.Wait(t, patience); r.ExitCode != 130 {
		t.Errorf("Ctrl-C: %s", r)
	}
	_ = holder.Close()
	h.must(t, "qmp", v.Name, "query-status")
	h.fails(t, 2, "stop", v.Name, "--timeout", "0")
	h.must(t, "stop", "--force", v.Name)
	h.isAsBefore(t)
}

// connected tells whether a process has a socket open: then it also catches
// signals.
func connected(pid int) error {
	dir := fmt.Sprintf("/proc/%d/fd", pid)
	files, err := os.ReadDir(dir)
	for _, f := range files {
		if to, _ := os.Readlink(filepath.Join(dir, f.Name())); strings.HasPrefix(to, "socket:") {
			return nil
		}
	}
	return errors.Join(err, errors.New("no socket is open"))
}

// TestPauseIsSeen pauses a guest by the monitor and resumes it; list and events
// tell.
func TestPauseIsSeen(t *testing.T) {
	t.Parallel()
	h := newHost(t)
	v := h.startNet(t, boot(t)...)
	h.must(t, "qmp", v.Name, "stop")
	if paused := h.awaitState(t, v.Name, "paused"); paused.Reason != "" {
		t.Errorf("somebody wanted it to stand still, and yet it says why: %q", paused.Reason)
	}
	h.must(t, "resume", v.Name)
	if listed := h.list(t); listed[0].State != "running" {
		t.Errorf("after resume: %+v", listed)
	}
	v.reachedFrom(t, h.LAN)
	events := h.must(t, "events", v.Name)
	at := 0
	for _, name := range []string{"started", "reachable", "STOP", "RESUME"} {
		found := strings.Index(events[at:], `"event":"`+name+`"`)
		if found < 0 {
			t.Fatalf("no event %s, or not in its place:\n%s", name, events)
		}
		at += found
	}
	h.must(t, "stop", v.Name)
	h.isAsBefore(t)
}
