package supervisor

import (
	"context"
	"io"
	"log/slog"
	"net/netip"
	"os"
	"strings"
	"testing"
	"time"

	"kvmrun/launcher"
	"kvmrun/launcher/vmdir"
)

// TestConflictIsWrittenDown has a rival claim the address until it is told of,
// and then no more.
func TestConflictIsWrittenDown(t *testing.T) {
	s := newTestSupervisor(t)
	s.guard.dispute.quiet = 20 * time.Millisecond
	const rival = "ff:ff:ff:ff:ff:ff" // which no machine has, and which is said all the same
	s.claimed(t.Context(), rival)
	if c := s.readState(t).Conflict; c == nil || c.MAC != rival || time.Since(c.Since) > time.Minute {
		t.Errorf("the state says %+v", c)
	}
	s.runUntil(t, func() bool { return s.state.Conflict == nil })
	if c := s.readState(t).Conflict; c != nil {
		t.Errorf("when it is over the state says %+v", c)
	}
	s.claimed(t.Context(), rival)
	s.hasEvents(t, `"conflict","data":{"ip":"192.0.2.77","mac":"ff:ff:ff:ff:ff:ff"}`,
		`"conflict-over","data":{"ip":"192.0.2.77","mac":"ff:ff:ff:ff:ff:ff"}`,
		`"conflict","data":{"ip":"192.0.2.77","mac":"ff:ff:ff:ff:ff:ff"}`)
}

// A conflict that the last supervisor has left is over when nobody claims the
// address any more, and lasts while somebody does.
func TestConflictOfLastSupervisor(t *testing.T) {
	s := newTestSupervisor(t)
	s.guard.dispute.quiet = 200 * time.Millisecond
	const rival = "02:00:00:00:00:99"
	s.state.Conflict = &launcher.Conflict{MAC: rival, Since: time.Now()}
	s.resumeDispute(t.Context())
	look := <-s.tasks // whether it is over
	s.claimed(t.Context(), rival)
	if look(); s.state.Conflict == nil {
		t.Error("the conflict is over although the rival has just claimed the address")
	}
	s.runUntil(t, func() bool { return s.state.Conflict == nil })
	s.hasEvents(t, `"conflict-over"`)
}

// A dispute begins with its first rival, whoever claims the address after that one.
func TestConflictBeginsOnce(t *testing.T) {
	s := newTestSupervisor(t)
	s.guard.dispute.pause = 0
	began := time.Now().Add(-time.Hour).UTC()
	s.claimed(t.Context(), "02:00:00:00:00:98")
	s.state.Conflict.Since = began
	s.claimed(t.Context(), "02:00:00:00:00:99")
	if c := s.readState(t).Conflict; c == nil || c.MAC != "02:00:00:00:00:99" || !c.Since.Equal(began) {
		t.Errorf("the state says %+v, want the second rival and %v", c, began)
	}
}

// newTestSupervisor is a supervisor of a VM that is a folder and nothing else.
func newTestSupervisor(t *testing.T) *supervisor {
	t.Helper()
	s := &supervisor{
		dir: vmdir.Dir{Name: "web", Path: t.TempDir()}, tasks: make(chan func(), 1),
		log: slog.New(slog.NewTextHandler(io.Discard, nil)), guard: newGuard(),
		unserve: func() {}, unkeep: func() {},
	}
	s.spec.Network.IP = netip.MustParseAddr("192.0.2.77")
	var err error
	if s.journal, err = s.dir.OpenJournal(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.journal.Close() })
	return s
}

// runUntil does what is posted until something is so.
func (s *supervisor) runUntil(t *testing.T, met func() bool) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	for !met() {
		select {
		case task := <-s.tasks:
			task()
		case <-ctx.Done():
			t.Fatal("not so after 10 s")
		}
	}
}

func (s *supervisor) readState(t *testing.T) (state launcher.State) {
	t.Helper()
	if err := s.dir.Read(vmdir.StateFile, &state); err != nil {
		t.Fatal(err)
	}
	return state
}

// hasEvents checks that the events are those that hold the texts, in order.
func (s *supervisor) hasEvents(t *testing.T, texts ...string) {
	t.Helper()
	events, err := os.ReadFile(s.dir.File(vmdir.EventsFile))
	if err != nil {
		t.Fatal(err)
	}
	lines := strings.Split(strings.TrimSpace(string(events)), "\n")
	for i, line := range lines {
		if i >= len(texts) || !strings.Contains(line, texts[i]) {
			t.Errorf("event %d is %s", i, line)
		}
	}
	if len(lines) < len(texts) {
		t.Errorf("%d events, want %d", len(lines), len(texts))
	}
}
