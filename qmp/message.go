package qmp

import (
	"encoding/json"
	"errors"
	"fmt"
	"strconv"

	goqemu "github.com/digitalocean/go-qemu/qmp"
)

// Event is something that QEMU reports without having been asked. Numbers in
// Data are float64, as encoding/json makes them.
type Event = goqemu.Event

// Version is QEMU's version as its greeting states it.
type Version = goqemu.Version

// A message is one line from the peer: a greeting, an event or a reply,
// depending on which fields are set. It shares no memory with the line.
type message struct {
	Greeting *struct {
		Version Version `json:"version"`
	} `json:"QMP"`

	Event     string          `json:"event"`
	Data      json.RawMessage `json:"data"`
	Timestamp json.RawMessage `json:"timestamp"`

	ID     json.RawMessage `json:"id"`
	Return json.RawMessage `json:"return"`
	Error  *struct {
		Class string `json:"class"`
		Desc  string `json:"desc"`
	} `json:"error"`

	size int // of the line, in bytes
}

// parseMessage reads one line. Fields and kinds of message that it does not
// know are no error: the specification reserves the right to add them.
func parseMessage(line []byte) (*message, error) {
	m := &message{size: len(line)}
	if len(line) == 0 || line[0] != '{' { // encoding/json would take null, too
		return nil, protocolError(line, errors.New("not a JSON object"))
	}
	if err := json.Unmarshal(line, m); err != nil {
		return nil, protocolError(line, err)
	}
	return m, nil
}

// isReply reports whether the message answers a command.
func (m *message) isReply() bool {
	return m.Event == "" && (m.Return != nil || m.Error != nil)
}

// id returns the number of the call that a reply answers. QEMU repeats the id
// it was given; that it is one of ours remains to be seen.
func (m *message) id() (uint64, bool) {
	id, err := strconv.ParseUint(string(m.ID), 10, 64)
	return id, err == nil
}

// outcome is what a reply tells the caller of the named command.
func (m *message) outcome(command string) (json.RawMessage, error) {
	if m.Error != nil {
		return nil, &CommandError{Command: command, Class: m.Error.Class, Description: m.Error.Desc}
	}
	return m.Return, nil
}

// event decodes the message as an event. Each call makes a new one, with Data
// of its own.
func (m *message) event() (Event, error) {
	ev := Event{Event: m.Event}
	if m.Data != nil {
		if err := json.Unmarshal(m.Data, &ev.Data); err != nil {
			return Event{}, fmt.Errorf("data of event %.40q: %w", m.Event, err)
		}
	}
	if m.Timestamp != nil {
		if err := json.Unmarshal(m.Timestamp, &ev.Timestamp); err != nil {
			return Event{}, fmt.Errorf("timestamp of event %.40q: %w", m.Event, err)
		}
	}
	return ev, nil
}

// appendCommand appends a command in its shortest form and a newline: QEMU
// reads its monitor one byte at a time, so every byte counts.
// args is compact JSON, or nil.
func appendCommand(b []byte, command string, id uint64, args []byte) []byte {
	name, _ := json.Marshal(command) // a string cannot fail
	b = append(b, `{"execute":`...)
	b = append(b, name...)
	b = append(b, `,"id":`...)
	b = strconv.AppendUint(b, id, 10)
	if args != nil {
		b = append(b, `,"arguments":`...)
		b = append(b, args...)
	}
	return append(b, '}', '\n')
}
