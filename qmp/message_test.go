package qmp

import (
	"bytes"
	"encoding/json"
	"errors"
	"strings"
	"testing"
	"unicode"
)

func TestAppendCommand(t *testing.T) {
	for _, tc := range []struct {
		command string
		id      uint64
		args    string
		want    string
	}{
		{"stop", 1, "", `{"execute":"stop","id":1}`},
		{"x", 1<<64 - 1, `{"a":[]}`, `{"execute":"x","id":18446744073709551615,"arguments":{"a":[]}}`},
		{"a\"b\n", 2, "", `{"execute":"a\"b\n","id":2}`},
	} {
		var args []byte
		if tc.args != "" {
			args = []byte(tc.args)
		}
		if got := string(appendCommand(nil, tc.command, tc.id, args)); got != tc.want+"\n" {
			t.Errorf("got %q, want %q", got, tc.want)
		}
	}
}

func TestCommandErrorMessage(t *testing.T) {
	for _, tc := range []struct {
		err  CommandError
		want string
	}{
		{CommandError{"stop", ClassGenericError, "it's over"}, "qmp: stop: it's over"},
		{CommandError{"x", ClassDeviceNotFound, "no 'y'"}, "qmp: x: no 'y' (DeviceNotFound)"},
		{CommandError{"x", "\x1b[2J", "a\x1b[31m\r\nb\xff"}, "qmp: x: a [31m  b\uFFFD ( [2J)"},
	} {
		if got := tc.err.Error(); got != tc.want {
			t.Errorf("got %q, want %q", got, tc.want)
		}
	}
	long := CommandError{Command: "x", Description: strings.Repeat("y", MaxMessage)}
	if n := len(long.Error()); n > 5000 {
		t.Errorf("a description of %d bytes makes a message of %d", MaxMessage, n)
	}
}

// FuzzMessage gives the parser and what stands behind it everything a peer
// could send in one line: a reply reaches the call with its id or none, an
// event reaches the subscriber, the rest is an error or nothing.
func FuzzMessage(f *testing.F) {
	for _, seed := range []string{
		`{"QMP": {"version": {"qemu": {"micro": 22, "minor": 2, "major": 7}, "package": "Debian"}, "capabilities": ["oob"]}}`,
		`{"return": {}, "id": 1}`,
		`{"return": [{"name": "x"}], "id": 2}`,
		`{"return": null, "id": 1}`,
		`{"id": 1, "error": {"class": "GenericError", "desc": "Bus 'x' not found"}}`,
		`{"error": {"class": "GenericError", "desc": "JSON parse error, invalid keyword 'x'"}}`,
		`{"return": 1, "id": 77}`,
		`{"return": 1, "id": "1"}`,
		`{"return": 1, "error": null, "id": 1}`,
		`{"timestamp": {"seconds": 1700000000, "microseconds": 5}, "event": "STOP"}`,
		`{"timestamp": {"seconds": -1, "microseconds": -1}, "event": "SHUTDOWN", "data": {"guest": false, "reason": "host-qmp-quit"}}`,
		`{"event": "", "data": {}}`,
		`{"event": "X", "data": [1]}`,
		`{"event": 3}`,
		`{"EVENT": "X", "Data": null}`,
		`{"return": {"sta`,
		"{\x00}",
		`null`,
		`[]`,
		strings.Repeat(`{"return":`, 12000),
		`{"event": "X", "data": {"\ud800": 1e999}}`,
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, line []byte) {
		line = bytes.TrimSpace(line)
		p := &call{id: 1, command: "c", outcome: make(chan outcome, 1)}
		c := &Client{calls: map[uint64]*call{1: p}}
		sub := c.Subscribe(1)

		err := c.dispatch(line)

		if err != nil {
			checkProtocolError(t, err)
		}
		answered, heard := len(p.outcome) == 1, len(sub.C) == 1
		if answered && heard || err != nil && (answered || heard) {
			t.Fatalf("answered %v, heard %v, error %v", answered, heard, err)
		}
		if answered == (len(c.calls) == 1) {
			t.Fatalf("answered %v, but %d calls wait", answered, len(c.calls))
		}
		if answered {
			checkOutcome(t, <-p.outcome)
		}
		if heard && (<-sub.C).Event == "" {
			t.Fatal("an event without a name was passed on")
		}
	})
}

// checkProtocolError fails the test unless err may be printed and tested.
func checkProtocolError(t *testing.T, err error) {
	t.Helper()
	if !errors.Is(err, ErrProtocol) {
		t.Fatalf("%v is no protocol error", err)
	}
	if msg := err.Error(); strings.ContainsFunc(msg, unicode.IsControl) {
		t.Fatalf("%q has control characters", msg)
	}
}

// checkOutcome fails the test unless out is either a value or a refusal.
func checkOutcome(t *testing.T, out outcome) {
	t.Helper()
	var refusal *CommandError
	switch {
	case out.err == nil && !json.Valid(out.value):
		t.Fatalf("value %q", out.value)
	case out.err != nil && (!errors.As(out.err, &refusal) || out.value != nil):
		t.Fatalf("value %q with error %v", out.value, out.err)
	}
}
