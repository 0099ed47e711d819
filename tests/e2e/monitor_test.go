package e2e

import (
	"strings"
	"testing"
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

// TestPauseIsSeen pauses a guest by the monitor; list and events tell.
func TestPauseIsSeen(t *testing.T) {
	t.Parallel()
	h := newHost(t)
	v := h.startNet(t, boot(t)...)
	h.must(t, "qmp", v.Name, "stop")
	h.awaitState(t, v.Name, "paused")
	h.must(t, "qmp", v.Name, "cont")
	h.awaitState(t, v.Name, "running")
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
