package vmdir

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"testing"
	"time"
)

func TestJournalIsOneObjectALine(t *testing.T) {
	dir := newRoot(t, "web").Dir("web")
	when := time.Date(2026, 1, 2, 3, 4, 5, 0, time.FixedZone("", 3600))
	for range 2 { // a second supervisor goes on where the first stopped
		j, err := dir.OpenJournal()
		if err != nil {
			t.Fatal(err)
		}
		if err := j.Add("started", when, map[string]any{"text": "two\nlines"}); err != nil {
			t.Fatal(err)
		}
		if err := j.Add("STOP", when, nil); err != nil {
			t.Fatal(err)
		}
		if err := j.Close(); err != nil {
			t.Fatal(err)
		}
	}
	text, err := os.ReadFile(dir.File(EventsFile))
	if err != nil {
		t.Fatal(err)
	}
	two := `{"time":"2026-01-02T02:04:05Z","event":"started","data":{"text":"two\nlines"}}
{"time":"2026-01-02T02:04:05Z","event":"STOP"}
`
	if string(text) != two+two {
		t.Errorf("got\n%s", text)
	}
}

// A guest that causes events without end has few of them written, and of those
// that were left out the number; kvmrun's own are all there, and another guest's
// event of another name.
func TestFloodOfCausedEvents(t *testing.T) {
	dir := newRoot(t, "web").Dir("web")
	j, err := dir.OpenJournal()
	if err != nil {
		t.Fatal(err)
	}
	now := time.Unix(1000, 0)
	j.now = func() time.Time { return now }
	const many, every = 100_000, time.Millisecond
	for i := range many {
		now = now.Add(every)
		err := j.AddCaused("RTC_CHANGE", now, map[string]int{"offset": i})
		if err == nil && i%(many/10) == 0 {
			err = errors.Join(j.Add("conflict", now, nil), j.AddCaused("BLOCK_IO_ERROR", now, strings.Repeat("x", causedData)))
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	if err := j.Close(); err != nil {
		t.Fatal(err)
	}
	got, leftOut := countEvents(t, dir)
	most := causedBurst + int(many*every/causedPause)
	if n := got["RTC_CHANGE"]; n < causedBurst || n > most || uint64(n)+leftOut != many {
		t.Errorf("%d were written and %d left out of %d; at most %d may be written", n, leftOut, many, most)
	}
	if got["conflict"] != 10 || got["BLOCK_IO_ERROR"] != 10 {
		t.Errorf("what was no flood is lost: %v", got)
	}
}

// Names without end are one name.
func TestFloodOfNames(t *testing.T) {
	dir := newRoot(t, "web").Dir("web")
	j, err := dir.OpenJournal()
	if err != nil {
		t.Fatal(err)
	}
	const many = 5000
	for i := range many {
		if err := j.AddCaused(fmt.Sprintf("%060000d", i), time.Now(), nil); err != nil {
			t.Fatal(err)
		}
	}
	if len(j.caused) > causedNames+1 {
		t.Errorf("%d names are remembered", len(j.caused))
	}
	if err := j.Close(); err != nil {
		t.Fatal(err)
	}
	if info, err := os.Stat(dir.File(EventsFile)); err != nil || info.Size() > 1<<20 {
		t.Errorf("%d bytes are written, %v", info.Size(), err)
	}
}

// countEvents reads a whole event file.
func countEvents(t *testing.T, dir Dir) (got map[string]int, leftOut uint64) {
	t.Helper()
	text, err := os.ReadFile(dir.File(EventsFile))
	if err != nil {
		t.Fatal(err)
	}
	got = map[string]int{}
	for line := range bytes.Lines(text) {
		var e Event
		if err := json.Unmarshal(line, &e); err != nil {
			t.Fatalf("half a line: %.80s", line)
		}
		got[e.Event]++
		var out LeftOut
		if e.Event == EventLeftOut {
			if err := json.Unmarshal(e.Data, &out); err != nil {
				t.Fatal(err)
			}
		}
		leftOut += out.Count
	}
	return got, leftOut
}

// The newest events stay, in whole lines, and their writer goes on.
func TestTrimKeepsTheNewestEvents(t *testing.T) {
	dir := newRoot(t, "web").Dir("web")
	j, err := dir.OpenJournal()
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = j.Close() }()
	add := func(n int) {
		t.Helper()
		for range n {
			if err := j.Add("own", time.Now(), strings.Repeat("x", 9999)); err != nil {
				t.Fatal(err)
			}
		}
	}
	add(MaxEvents/9999 + 100)
	if err := dir.Trim(); err != nil {
		t.Fatal(err)
	}
	add(2)
	f, err := os.Open(dir.File(EventsFile))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = f.Close() }()
	if err := SkipHole(f); err != nil {
		t.Fatal(err)
	}
	text, err := io.ReadAll(f)
	if err != nil || len(text) < MaxEvents-20000 || len(text) > MaxEvents+40000 {
		t.Fatalf("%d bytes are left, %v", len(text), err)
	}
	for line := range bytes.Lines(text) {
		if !json.Valid(line) {
			t.Fatalf("half a line: %.80q", line)
		}
	}
}
