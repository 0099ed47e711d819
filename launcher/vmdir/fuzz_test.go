package vmdir

import (
	"bytes"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"testing"
	"time"
)

// FuzzFolder puts any text where kvmrun reads: a record, a lease, and an event
// from QEMU. A record that can be read can be written and read again; a lease is
// nobody's or a plain name's, and takes no file along that is not its own; an
// event is one line of JSON.
func FuzzFolder(f *testing.F) {
	for _, seed := range []string{
		"", "{}", `{"Number": 1, "Fill": "x"}`, `{"Number": 1e400}`, `{"number":1,"NUMBER":2}`, "[]", "\xff",
		"web", "../web", "../../file", ".", "/", "a\nb", "..", ".new-1",
	} {
		f.Add([]byte(seed))
	}
	root, err := Open(f.TempDir())
	if err != nil {
		f.Fatal(err)
	}
	dir := root.Dir("web")
	precious := filepath.Join(root.Path, "file")
	if err := errors.Join(os.Mkdir(dir.Path, 0o700), os.WriteFile(precious, nil, 0o600)); err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		if err := os.WriteFile(dir.File(StateFile), text, 0o600); err != nil {
			t.Fatal(err)
		}
		textIsRecord(t, dir, text)
		textIsLease(t, root, string(text))
		textIsEvent(t, dir, text)
		if _, err := os.Lstat(precious); err != nil {
			t.Fatal(err)
		}
	})
}

func textIsRecord(t *testing.T, dir Dir, text []byte) {
	t.Helper()
	var r record
	if err := dir.Read(StateFile, &r); err != nil {
		if damaged := (*DamagedError)(nil); !errors.As(err, &damaged) || damaged.File != dir.File(StateFile) {
			t.Fatalf("%q: %v", text, err)
		}
		return
	}
	var again record
	if err := errors.Join(dir.Write(StateFile, r), dir.Read(StateFile, &again)); err != nil || again != r {
		t.Errorf("%q became %+v, then %+v: %v", text, r, again, err)
	}
}

// textIsLease makes a link as anybody might who can write there.
func textIsLease(t *testing.T, root Root, text string) {
	t.Helper()
	const resource = "ip-10.254.254.2"
	link := filepath.Join(root.leases(), resource)
	_ = os.Remove(link)
	if os.Symlink(text, link) != nil {
		return // too long, empty, or with a zero in it
	}
	if holder := root.Holder(resource); holder != "" && holder != "web" {
		t.Fatalf("a link to %q makes %q the holder", text, holder)
	}
	if err := root.Lease(resource, "web"); err != nil && text != "web" {
		t.Fatalf("a link to %q: %v", text, err)
	}
	if err := root.Release(resource, "web"); err != nil || root.Holder(resource) != "" {
		t.Fatalf("a link to %q is not released: %v", text, err)
	}
}

func textIsEvent(t *testing.T, dir Dir, text []byte) {
	t.Helper()
	if err := os.WriteFile(dir.File(EventsFile), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	j, err := dir.OpenJournal()
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = j.Close() }()
	var data any
	_ = json.Unmarshal(text, &data)
	if err := j.AddCaused(string(text), time.Unix(1, 2), data); err != nil {
		t.Fatal(err)
	}
	written, err := os.ReadFile(dir.File(EventsFile))
	if err != nil {
		t.Fatal(err)
	}
	var e Event
	if bytes.Count(written, []byte("\n")) != 1 || json.Unmarshal(written, &e) != nil || !json.Valid(written) {
		t.Fatalf("an event %q is written as %q", text, written)
	}
}
