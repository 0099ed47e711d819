package supervisor

import (
	"encoding/json"
	"fmt"
	"io"
	"net"
	"path/filepath"
	"testing"

	"kvmrun/launcher"
	"kvmrun/qmp"
)

// An adopted QEMU that ends is judged by what it said, whoever took that from the
// queue.
func TestShutdownIsRemembered(t *testing.T) {
	s := newTestSupervisor(t)
	s.qemu, s.state.Phase = &child{}, launcher.Running
	if s.judge() == nil {
		t.Error("an end without a word counts as a shutdown")
	}
	said := make(chan qmp.Event, 1)
	said <- qmp.Event{Event: "SHUTDOWN"}
	s.events = &qmp.Subscription{C: said}
	s.catchUp()
	if err := s.judge(); err != nil {
		t.Errorf("after SHUTDOWN: %v", err)
	}
}

// TestJudge judges VMs whose QEMU is gone without anybody having seen how it went.
func TestJudge(t *testing.T) {
	for _, c := range []struct {
		phase  launcher.Phase
		reason string // of a failure that was known before
		want   string
	}{
		{"", "", ""}, // it never came to have one
		{launcher.Starting, "", "QEMU and its supervisor have ended"},
		{launcher.Running, "", "QEMU and its supervisor have ended"},
		{launcher.Stopping, "", ""},
		{launcher.Failed, "QEMU ended (exit status 1)", "QEMU ended (exit status 1)"},
	} {
		s := newTestSupervisor(t)
		s.state.Phase, s.state.Reason = c.phase, c.reason
		if got := s.judge(); (got == nil) != (c.want == "") || got != nil && got.Error() != c.want {
			t.Errorf("%q: %v, want %q", c.phase, got, c.want)
		}
		s.qemu, s.state.Phase = &child{}, launcher.Stopping
		if got := s.judge(); got != nil {
			t.Errorf("a QEMU that was taken over while it shut down: %v", got)
		}
	}
}

// TestAnswerThatIsOutOfDate has QEMU stop its guest when it has just said that the
// guest runs, and the supervisor hear of that first.
func TestAnswerThatIsOutOfDate(t *testing.T) {
	s := newTestSupervisor(t)
	s.state.Phase = launcher.Running
	s.monitor = standIn(t, running, running, "paused", "paused", "not asked for")
	s.events = s.monitor.Subscribe(1)
	if _, err := queryStatus(t.Context(), s.monitor); err != nil {
		t.Fatal(err)
	}
	s.makeUp()
	answer := <-s.tasks
	s.note(qmp.Event{Event: "STOP"})
	answer()
	s.runUntil(t, func() bool { return !s.makingUp })
	if s.state.Phase != launcher.Paused || s.missed != s.events.Dropped() {
		t.Errorf("the guest counts as %s, and %d of %d events as made up for", s.state.Phase, s.missed, s.events.Dropped())
	}
}

// standIn stands in for a QEMU that answers query-status by one status after
// another. With its first answer it sends two events.
func standIn(t *testing.T, answers ...string) *qmp.Client {
	t.Helper()
	socket := filepath.Join(t.TempDir(), "qmp")
	listener, err := net.Listen("unix", socket)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = listener.Close() })
	go func() {
		conn, err := listener.Accept()
		if err != nil {
			return
		}
		defer func() { _ = conn.Close() }()
		answer(conn, answers)
	}()
	client, err := qmp.Dial(t.Context(), socket)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = client.Close() })
	return client
}

// answer plays a monitor until the client hangs up or has all answers.
func answer(conn io.ReadWriter, answers []string) {
	const wakeup = `{"event": "WAKEUP", "timestamp": {"seconds": 1, "microseconds": 0}}` + "\n"
	_, _ = fmt.Fprintln(conn, `{"QMP": {"version": {"qemu": {"micro": 3, "minor": 2, "major": 7}, "package": ""}, "capabilities": []}}`)
	events := wakeup + wakeup
	for requests := json.NewDecoder(conn); len(answers) > 0; {
		var r struct {
			Execute string
			ID      json.RawMessage
		}
		if requests.Decode(&r) != nil {
			return
		}
		if r.Execute == "query-chardev" {
			_, _ = fmt.Fprint(conn, reply(r.ID, `[]`))
			continue
		}
		if r.Execute != "query-status" {
			_, _ = fmt.Fprint(conn, reply(r.ID, `{}`))
			continue
		}
		_, _ = fmt.Fprint(conn, events, reply(r.ID, fmt.Sprintf(`{"status": %q}`, answers[0])))
		events, answers = "", answers[1:]
	}
	_, _ = io.Copy(io.Discard, conn)
}

// reply is QEMU's to the request, whose ID it repeats if there is one.
func reply(id json.RawMessage, value string) string {
	if len(id) == 0 {
		return fmt.Sprintf("{\"return\": %s}\n", value)
	}
	return fmt.Sprintf("{\"return\": %s, \"id\": %s}\n", value, id)
}
