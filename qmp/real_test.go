package qmp_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"kvmrun/qmp"
)

func TestRealHandshake(t *testing.T) {
	g := startQEMU(t)
	c := g.dial(t)
	if v := c.Version(); v.QEMU.Major < 4 {
		t.Errorf("version %v", v)
	}
	var status struct {
		Status  string
		Running bool
	}
	if err := c.Execute(within(t, patience), "query-status", nil, &status); err != nil {
		t.Fatal(err)
	}
	if status.Status != "prelaunch" || status.Running {
		t.Errorf("status %+v", status)
	}
}

func TestRealLongReply(t *testing.T) {
	c := startQEMU(t).dial(t)
	var schema []struct{ Name string }
	if err := c.Execute(within(t, patience), "query-qmp-schema", nil, &schema); err != nil {
		t.Fatal(err)
	}
	for _, entity := range schema {
		if entity.Name == "query-status" {
			return
		}
	}
	t.Errorf("no query-status among %d entities", len(schema))
}

func TestRealConcurrentCallers(t *testing.T) {
	c := startQEMU(t).dial(t)
	ctx := within(t, patience)
	var group sync.WaitGroup
	for caller := range 8 {
		group.Go(func() {
			for i := range 40 {
				want := caller*1000 + i
				args := map[string]any{"command-line": fmt.Sprintf("print /d %d", want)}
				var got string
				if err := c.Execute(ctx, "human-monitor-command", args, &got); err != nil {
					t.Error(err)
					return
				}
				if strings.TrimSpace(got) != fmt.Sprint(want) {
					t.Errorf("asked for %d, got %q", want, got)
				}
			}
		})
	}
	group.Wait()
}

func TestRealErrorClass(t *testing.T) {
	c := startQEMU(t).dial(t)
	for _, tc := range []struct {
		command string
		args    any
		class   string
	}{
		{"no-such-command", nil, qmp.ClassCommandNotFound},
		{"device_del", map[string]string{"id": "nobody"}, qmp.ClassDeviceNotFound},
		{"query-status", map[string]int{"surplus": 1}, qmp.ClassGenericError},
		{"query-status", []int{1}, qmp.ClassGenericError},
		// QEMU cannot parse this one; its error carries no id.
		{"query-status", map[string]string{"surplus": "\x00"}, qmp.ClassGenericError},
	} {
		err := c.Execute(within(t, patience), tc.command, tc.args, nil)
		var refusal *qmp.CommandError
		if !errors.As(err, &refusal) {
			t.Errorf("%s %v: %v", tc.command, tc.args, err)
			continue
		}
		if refusal.Class != tc.class || refusal.Command != tc.command || refusal.Description == "" {
			t.Errorf("%s %v: %+v", tc.command, tc.args, refusal)
		}
		if !qmp.HasClass(fmt.Errorf("wrapped: %w", err), tc.class) || qmp.HasClass(err, "Other") {
			t.Errorf("%s: HasClass does not tell the class of %v", tc.command, err)
		}
	}
	if err := c.Execute(within(t, patience), "query-status", nil, nil); err != nil {
		t.Errorf("after refusals: %v", err)
	}
}

func TestRealPassFile(t *testing.T) {
	g := startQEMU(t)
	c := g.dial(t)
	ctx := within(t, patience)
	path := filepath.Join(t.TempDir(), "passed")
	f, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()

	if err := c.PassFile(ctx, "passed", f); err != nil {
		t.Fatal(err)
	}
	if n := g.holds(t, path); n != 1 {
		t.Errorf("QEMU holds %d descriptors of the file, not 1", n)
	}
	if err := c.Execute(ctx, "closefd", map[string]string{"fdname": "passed"}, nil); err != nil {
		t.Error(err)
	}
	if n := g.holds(t, path); n != 0 {
		t.Errorf("QEMU holds %d descriptors of the closed file", n)
	}

	var added struct {
		Set int `json:"fdset-id"`
		FD  int `json:"fd"`
	}
	args := map[string]int{"fdset-id": 7}
	if err := c.ExecuteFile(ctx, "add-fd", args, &added, f); err != nil {
		t.Fatal(err)
	}
	if added.Set != 7 || g.holds(t, path) != 1 {
		t.Errorf("add-fd: %+v, %d descriptors", added, g.holds(t, path))
	}
}

func TestRealEvents(t *testing.T) {
	c := startQEMU(t).dial(t)
	ctx := within(t, patience)
	sub := c.Subscribe(8)
	for _, command := range []string{"cont", "stop"} {
		if err := c.Execute(ctx, command, nil, nil); err != nil {
			t.Fatal(err)
		}
	}
	// QEMU sends them before the replies, so they are here without waiting.
	for _, want := range []string{"RESUME", "STOP"} {
		select {
		case ev := <-sub.C:
			if ev.Event != want || ev.Timestamp.Seconds == 0 {
				t.Errorf("got %+v, want %s", ev, want)
			}
		default:
			t.Errorf("no %s in the queue", want)
		}
	}
}

func TestRealUnreadSubscriber(t *testing.T) {
	c := startQEMU(t).dial(t)
	ctx := within(t, patience)
	sub := c.Subscribe(4)
	const rounds = 300
	for range rounds {
		for _, command := range []string{"cont", "stop"} {
			if err := c.Execute(ctx, command, nil, nil); err != nil {
				t.Fatal(err)
			}
		}
	}
	if got := sub.Dropped(); got != 2*rounds-4 {
		t.Errorf("%d events dropped, want %d", got, 2*rounds-4)
	}
	if err := c.Close(); err != nil {
		t.Error(err)
	}
}

func TestRealSecondClientIsBusy(t *testing.T) {
	g := startQEMU(t)
	first := g.dial(t)
	_, err := qmp.Dial(within(t, 200*time.Millisecond), g.socket)
	if !errors.Is(err, qmp.ErrBusy) || !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("second client: %v", err)
	}
	if err := first.Execute(within(t, patience), "query-status", nil, nil); err != nil {
		t.Errorf("first client, after the second: %v", err)
	}
	if err := first.Close(); err != nil {
		t.Error(err)
	}
	third := g.dial(t) // the second's connection must not stand in the way
	if err := third.Execute(within(t, patience), "query-status", nil, nil); err != nil {
		t.Errorf("third client: %v", err)
	}
}

func TestRealQuit(t *testing.T) {
	c := startQEMU(t).dial(t)
	sub := c.Subscribe(8)
	if err := c.Execute(within(t, patience), "quit", nil, nil); err != nil {
		t.Fatal(err)
	}
	var last qmp.Event
	for ev := range sub.C { // ends when the connection does
		last = ev
	}
	if last.Event != "SHUTDOWN" || last.Data["reason"] != "host-qmp-quit" {
		t.Errorf("last event %+v", last)
	}
	await(t, c.Done(), "the end of the connection")
	if !errors.Is(c.Err(), qmp.ErrHangup) {
		t.Errorf("reason %v", c.Err())
	}
	err := c.Execute(within(t, patience), "query-status", nil, nil)
	if !errors.Is(err, qmp.ErrHangup) {
		t.Errorf("command after the end: %v", err)
	}
}

func TestRealKilled(t *testing.T) {
	g := startQEMU(t)
	c := g.dial(t)
	if err := g.cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	await(t, c.Done(), "the end of the connection")
	if !errors.Is(c.Err(), qmp.ErrHangup) {
		t.Errorf("reason %v", c.Err())
	}
}
