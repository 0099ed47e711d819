package vmdir

import (
	"encoding/json"
	"errors"
	"os"
	"time"
)

// Event is one line of a VM's event file.
type Event struct {
	Time  time.Time       `json:"time"`
	Event string          `json:"event"`
	Data  json.RawMessage `json:"data,omitempty"`
}

// Journal appends to a VM's event file. One goroutine at a time may use it.
//
// Trim keeps the newest of the file. A guest can cause events without end (a
// clock that it sets, an address that it asks for), and kvmrun's own must not be
// pushed out by them: those that a guest can cause are written at a bounded rate,
// each by its name.
type Journal struct {
	file   *os.File
	now    func() time.Time
	caused map[string]*allowance
}

// OpenJournal opens the event file for appending. The caller closes it.
func (d Dir) OpenJournal() (*Journal, error) {
	f, err := os.OpenFile(d.File(EventsFile), os.O_WRONLY|os.O_APPEND|os.O_CREATE, 0o600)
	if err != nil {
		return nil, err
	}
	return &Journal{file: f, now: time.Now, caused: make(map[string]*allowance)}, nil
}

// Add writes one of kvmrun's own events, in one write so that a reader never sees
// half a line.
func (j *Journal) Add(name string, when time.Time, data any) error {
	var text json.RawMessage
	if data != nil {
		var err error
		if text, err = json.Marshal(data); err != nil {
			return err
		}
	}
	return j.write(Event{Time: when.UTC(), Event: name, Data: text})
}

func (j *Journal) write(e Event) error {
	line, err := json.Marshal(e)
	if err != nil {
		return err
	}
	_, err = j.file.Write(append(line, '\n'))
	return err
}

// Close writes down what was left out last, and closes the file.
func (j *Journal) Close() error {
	var errs []error
	for name, a := range j.caused {
		errs = append(errs, j.confess(name, a))
	}
	return errors.Join(append(errs, j.file.Close())...)
}
