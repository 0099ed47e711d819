package e2e

import (
	"strconv"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"kvmrun/tests/lab"
)

// qmpStatus is QEMU's own word for what its guest does.
func (h *host) qmpStatus(t *testing.T, name string) string {
	t.Helper()
	var now struct{ Status string }
	decode(t, h.must(t, "qmp", name, "query-status"), &now)
	return now.Status
}

// happened checks that events have been written in this order.
func (h *host) happened(t *testing.T, name string, events ...string) {
	t.Helper()
	text, at := h.must(t, "events", name), 0
	for _, event := range events {
		found := strings.Index(text[at:], `"event":"`+event+`"`)
		if found < 0 {
			t.Fatalf("no event %s, or not in its place:\n%s", event, text)
		}
		at += found + 1
	}
}

// TestSetLink pulls the cable of guests' cards, in both forms, and puts it back.
func TestSetLink(t *testing.T) {
	t.Parallel()
	h := newHost(t)
	v := h.startNet(t, append(boot(t), "--name", "web")...)
	h.start(t, frozen(t, "--name", "classic", "--model", "e1000")...)
	before := v.carrierChanges(t)
	h.must(t, "set", "web", "classic", "--link", "down")
	h.must(t, "set", "web", "--link", "down") // as it is already
	if err := h.LAN.Ping(v.IP, patience/60); err == nil {
		t.Error("a guest without a cable answers")
	}
	h.killSupervisor(t, "web")
	if inspected := h.must(t, "inspect", "web"); !strings.Contains(inspected, `"link_down": true`) {
		t.Errorf("inspect does not say that the link is down:\n%s", inspected)
	}
	h.must(t, "set", "web", "classic", "--link", "up")
	v.reachedFrom(t, h.LAN)
	if after := v.carrierChanges(t); after != before+2 {
		t.Errorf("the guest has seen its carrier change %d times, want 2", after-before)
	}
	if inspected := h.must(t, "inspect", "web"); strings.Contains(inspected, "link_down") {
		t.Errorf("inspect says that the link is down:\n%s", inspected)
	}
	h.happened(t, "web", "link-down", "link-down", "adopted", "link-up")
	h.fails(t, 2, "set", "web", "--link", "sideways")
	h.fails(t, 2, "set", "web")
	h.fails(t, 3, "set", "nobody", "--link", "up")
	h.must(t, "stop", "--all", "--force")
	h.isAsBefore(t)
}

// TestSetMemory has a guest give memory back, and get it again.
func TestSetMemory(t *testing.T) {
	t.Parallel()
	h := newHost(t)
	v := h.startNet(t, append(append(boot(t), "--name", "web"), "--", "-device", "virtio-balloon-pci")...)
	h.start(t, frozen(t, "--name", "without")...)
	if said := h.fails(t, 12, "set", "web", "--memory", "96M", "--timeout", "300ms"); !strings.Contains(said, "the guest has 128M") {
		t.Errorf("of a guest without a driver it says %q", said)
	}
	v.sh(t, "insmod /modules/virtio_balloon.ko")
	h.must(t, "set", "web", "--memory", "96M")
	if left := h.stats(t, "web").Balloon; left != 96<<20 {
		t.Errorf("the guest has %d bytes, want 96 MiB", left)
	}
	h.must(t, "set", "web", "--memory", "128")
	if left := h.stats(t, "web").Balloon; left != 128<<20 {
		t.Errorf("the guest has %d bytes again, want 128 MiB", left)
	}
	h.fails(t, 2, "set", "web", "--memory", "129M")
	h.fails(t, 2, "set", "web", "--memory", "4M")
	h.fails(t, 2, "set", "web", "--memory", "x")
	h.fails(t, 6, "set", "without", "--memory", "16M")
	h.must(t, "stop", "--all", "--force")
	h.isAsBefore(t)
}

// carrierChanges is how often the guest's card has got or lost its cable, to the guest.
func (v *vm) carrierChanges(t *testing.T) int {
	t.Helper()
	text := strings.TrimSpace(v.sh(t, "cat /sys/class/net/eth0/carrier_changes"))
	n, err := strconv.Atoi(text)
	if err != nil {
		t.Fatalf("the guest's carrier: %q", text)
	}
	return n
}

// TestPause pauses VMs and lets them go on, whoever looks after them.
func TestPause(t *testing.T) {
	t.Parallel()
	h := newHost(t)
	v := h.startNet(t, append(boot(t), "--name", "web")...)
	other := h.start(t, frozen(t, "--name", "other")...)
	h.must(t, "pause", "web", "other") // the other stands still already
	for _, listed := range h.list(t) {
		if listed.State != "paused" || listed.Reason != "" {
			t.Errorf("after pause: %+v", listed)
		}
	}
	if status := h.qmpStatus(t, "web"); status != "paused" {
		t.Errorf("QEMU calls it %q", status)
	}
	if err := h.LAN.Ping(v.IP, patience/60); err == nil {
		t.Error("a guest that stands still answers")
	}
	h.must(t, "pause", "web")
	h.must(t, "resume", "web")
	if status := h.qmpStatus(t, "web"); status != "running" {
		t.Errorf("after resume QEMU calls it %q", status)
	}
	v.reachedFrom(t, h.LAN)
	h.happened(t, "web", "STOP", "paused", "paused", "RESUME", "resumed")

	h.kill(t, "KILL", h.inspect(t, "web").Details.Supervisor.PID)
	h.must(t, "pause", "web")
	if now := h.inspect(t, "web"); now.State != "paused" || !now.Supervised || now.PID != v.PID {
		t.Errorf("paused without a supervisor: %+v", now.vm)
	}
	h.must(t, "resume", "web", "other")
	h.kill(t, "KILL", other.PID)
	h.awaitState(t, "other", "failed")
	h.fails(t, 14, "pause", "other")
	h.must(t, "stop", "--force", "web", "other")
	h.isAsBefore(t)
}

// TestPausesAndResumesAtOnce has many ask for either, some of whom are killed: what
// stands in the record is what QEMU does.
func TestPausesAndResumesAtOnce(t *testing.T) {
	t.Parallel()
	h := newHost(t)
	h.start(t, append(boot(t), "--name", "web")...)
	for range 3 {
		var all []*lab.Process
		for i, command := range []string{"pause", "resume", "pause", "pause", "resume", "reset"} {
			p := h.Host.Start(t, "kvmrun", command, "web")
			if i%2 == 1 {
				p.Signal(t, unix.SIGKILL)
			}
			all = append(all, p)
		}
		for i, p := range all {
			// One that lets the guest go on may find that another has stopped it again.
			if r := p.Wait(t, patience); i%2 == 0 && r.ExitCode != 0 && r.ExitCode != 11 {
				t.Errorf("%s", r)
			}
		}
		h.must(t, "pause", "web")
		if state, status := h.inspect(t, "web").State, h.qmpStatus(t, "web"); state != "paused" || status == "running" {
			t.Errorf("the record says %s, QEMU %s", state, status)
		}
		h.must(t, "resume", "web")
		if state, status := h.inspect(t, "web").State, h.qmpStatus(t, "web"); state != "running" || status != "running" {
			t.Errorf("the record says %s, QEMU %s", state, status)
		}
	}
	h.must(t, "stop", "--force", "web")
	h.isAsBefore(t)
}

// TestReset resets guests that run and that stand still. It is a new boot in the same
// QEMU, and nothing that was so before it counts.
func TestReset(t *testing.T) {
	t.Parallel()
	h := newHost(t)
	v := h.startNet(t, append(boot(t), "--name", "web", "--wait", "console:guest: ready")...)
	v.guestHas(t, "touch /tmp/mark; ls /tmp", "mark\n")
	h.must(t, "reset", "web")
	if now := h.inspect(t, "web"); now.State != "running" || now.PID != v.PID || now.UUID != v.UUID {
		t.Errorf("after the reset: %+v", now.vm)
	}
	h.must(t, "wait", "web", "--for", "net", "--for", "console:guest: ready")
	if n := strings.Count(h.must(t, "logs", "web"), "guest: ready"); n != 2 {
		t.Errorf("it was ready %d times when the second was waited for", n)
	}
	v.guestHas(t, "[ -e /tmp/mark ] || echo none", "none\n")
	h.happened(t, "web", "reachable", "RESET", "reset", "reachable")

	h.must(t, "pause", "web")
	h.must(t, "reset", "web")
	if now := h.inspect(t, "web"); now.State != "paused" {
		t.Errorf("a VM that stood still when it was reset: %+v", now.vm)
	}
	h.fails(t, 12, "wait", "web", "--for", "net", "--timeout", "1s")
	h.must(t, "resume", "web")
	h.must(t, "wait", "web", "--for", "net")
	h.must(t, "stop", "--force", "web")
	h.isAsBefore(t)
}
