package vmdir

import (
	"encoding/json"
	"os"
	"time"
)

// maxEvents bounds a VM's event file, in bytes. A guest can cause events
// without end (a clock that it sets, a disk error that it repeats); past the
// bound they are dropped.
const maxEvents = 4 << 20

// Event is one line of a VM's event file.
type Event struct {
	Time  time.Time       `json:"time"`
	Event string          `json:"event"`
	Data  json.RawMessage `json:"data,omitempty"`
}

// Journal appends to a VM's event file. One goroutine at a time may use it.
type Journal struct {
	file *os.File
	size int64
}

// OpenJournal opens the event file for appending. The caller closes it.
func (d Dir) OpenJournal() (*Journal, error) {
	f, err := os.OpenFile(d.File(EventsFile), os.O_WRONLY|os.O_APPEND|os.O_CREATE, 0o600)
	if err != nil {
		return nil, err
	}
	info, err := f.Stat()
	if err != nil {
		_ = f.Close()
		return nil, err
	}
	return &Journal{file: f, size: info.Size()}, nil
}

// Add writes one event, in one write so that a reader never sees half a line.
func (j *Journal) Add(name string, when time.Time, data any) error {
	if j.size >= maxEvents {
		return nil
	}
	e := Event{Time: when.UTC(), Event: name}
	if data != nil {
		text, err := json.Marshal(data)
		if err != nil {
			return err
		}
		e.Data = text
	}
	line, err := json.Marshal(e)
	if err != nil {
		return err
	}
	n, err := j.file.Write(append(line, '\n'))
	j.size += int64(n)
	return err
}

// Close closes the file.
func (j *Journal) Close() error { return j.file.Close() }
