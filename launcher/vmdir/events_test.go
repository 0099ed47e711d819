package vmdir

import (
	"bytes"
	"encoding/json"
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

// A guest that causes events without end cannot fill the run directory.
func TestJournalIsBounded(t *testing.T) {
	dir := newRoot(t, "web").Dir("web")
	j, err := dir.OpenJournal()
	if err != nil {
		t.Fatal(err)
	}
	data := strings.Repeat("x", 64<<10)
	const many = 100
	for range many {
		if err := j.Add("RTC_CHANGE", time.Now(), data); err != nil {
			t.Fatal(err)
		}
	}
	if err := j.Close(); err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(dir.File(EventsFile))
	if err != nil {
		t.Fatal(err)
	}
	if len(text) > maxEvents+len(data)+200 {
		t.Errorf("%d bytes", len(text))
	}
	kept := int64(0)
	for line := range bytes.Lines(text) {
		var e Event
		if err := json.Unmarshal(line, &e); err != nil {
			t.Fatalf("half a line: %.80s", line)
		}
		kept++
	}
	if kept == 0 || kept >= many {
		t.Errorf("%d kept of %d", kept, many)
	}
	// One that is opened full stays full.
	again, err := dir.OpenJournal()
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = again.Close() }()
	if err := again.Add("more", time.Now(), nil); err != nil {
		t.Error(err)
	}
	if info, err := os.Stat(dir.File(EventsFile)); err != nil || info.Size() != int64(len(text)) {
		t.Errorf("%d bytes became %d, %v", len(text), info.Size(), err)
	}
}
