package vmdir

import (
	"encoding/json"
	"time"
)

// Bounds of what a guest can have written: of each event 100 at once, and one in
// 30 seconds after that. What a guest can cause by itself has a few names and
// some hundred bytes a line, so that MaxEvents hold many hours of it. More names
// and longer data are those of a QEMU that a guest has taken over.
const (
	causedBurst = 100
	causedPause = 30 * time.Second
	causedNames = 32
	causedData  = 1 << 10
)

// EventLeftOut stands where events of one name were too many to write down.
const EventLeftOut = "events-left-out"

// LeftOut is an EventLeftOut's data.
type LeftOut struct {
	Event string `json:"event"`
	Count uint64 `json:"count"`
}

// allowance is how many events of a name may be written.
type allowance struct {
	tokens  float64
	filled  time.Time
	leftOut uint64 // since the last that was written
}

// AddCaused writes an event that the guest can cause as often as it likes, or
// counts it if there were too many of its name. How many were left out is told
// before the next that is not. Data that is too long is left out.
func (j *Journal) AddCaused(name string, when time.Time, data any) error {
	shared := ""
	if a := j.caused[name]; a != nil || len(j.caused) < causedNames {
		shared = name
	}
	a := j.caused[shared]
	if a == nil {
		a = &allowance{tokens: causedBurst, filled: j.now()}
		j.caused[shared] = a
	}
	if !a.take(j.now()) {
		a.leftOut++
		return nil
	}
	if err := j.confess(shared, a); err != nil {
		return err
	}
	var text json.RawMessage
	if data != nil {
		var err error
		if text, err = json.Marshal(data); err != nil {
			return err
		}
	}
	if len(text) > causedData {
		text = nil
	}
	if len(name) > causedData {
		name = name[:causedData]
	}
	return j.write(Event{Time: when.UTC(), Event: name, Data: text})
}

// confess tells how many events of a name were left out.
func (j *Journal) confess(name string, a *allowance) error {
	if a.leftOut == 0 {
		return nil
	}
	if len(name) > causedData {
		name = name[:causedData]
	}
	count := a.leftOut
	a.leftOut = 0
	return j.Add(EventLeftOut, j.now(), LeftOut{Event: name, Count: count})
}

func (a *allowance) take(now time.Time) bool {
	gained := now.Sub(a.filled).Seconds() / causedPause.Seconds()
	a.tokens = min(a.tokens+max(gained, 0), causedBurst)
	a.filled = now
	if a.tokens < 1 {
		return false
	}
	a.tokens--
	return true
}
