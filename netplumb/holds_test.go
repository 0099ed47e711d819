package netplumb

import (
	"errors"
	"io"
	"os"
	"path/filepath"
	"testing"
)

// setting is a resource of this test's, whose value is "0" and wanted to be "1".
type setting struct {
	value string
	// before and after are called when it is written, around the change.
	before, after func() error
}

func (s *setting) String() string             { return "setting" }
func (s *setting) key() string                { return "setting" }
func (s *setting) want() string               { return "1" }
func (s *setting) satisfied(have string) bool { return have == "1" }
func (s *setting) read() (string, error)      { return s.value, nil }
func (s *setting) governor() (string, error)  { return "", nil }
func (s *setting) bind(*Host) resource        { return s }
func (s *setting) shell() Commands            { return Commands{} }

func (s *setting) write(value string) error {
	if s.before != nil {
		if err := s.before(); err != nil {
			return err
		}
	}
	s.value = value
	if s.after != nil {
		return s.after()
	}
	return nil
}

// wantRecord fails the test unless the change is in the journal, with its holder.
func wantRecord(t *testing.T, j holds, holder string) {
	t.Helper()
	c, recorded, err := j.load("setting")
	if want := (change{Old: "0", Set: "1"}); err != nil || !recorded || c != want {
		t.Errorf("the journal says %+v (recorded: %v, %v), want %+v", c, recorded, err, want)
	}
	if _, err := os.Lstat(filepath.Join(j.dir, "setting", holdersDir, holder)); err != nil {
		t.Errorf("the holder is not in the journal: %v", err)
	}
}

// wantUndone lets go and expects nothing to be left.
func wantUndone(t *testing.T, j holds, s *setting, holder string) {
	t.Helper()
	if err := j.release(s, holder); err != nil {
		t.Error(err)
	}
	if s.value != "0" {
		t.Errorf("the value is %s, want the 0 of before", s.value)
	}
	if rest, _ := filepath.Glob(filepath.Join(j.dir, "setting*")); len(rest) > 0 {
		t.Errorf("left in the journal: %q", rest)
	}
}

// TestWrittenDownBeforeItIsDone looks into the journal at the moment at which a
// change is made, and when it is taken back.
func TestWrittenDownBeforeItIsDone(t *testing.T) {
	j, s := holds{t.TempDir()}, &setting{value: "0"}
	looked := 0
	s.before = func() error {
		looked++
		wantRecord(t, j, "web")
		return nil
	}
	if err := j.acquire(s, "web"); err != nil {
		t.Fatal(err)
	}
	s.before = func() error {
		looked++
		if c, recorded, err := j.load("setting"); err != nil || !recorded || c.Old != "0" {
			t.Errorf("forgotten before it is taken back: %+v (%v, %v)", c, recorded, err)
		}
		return nil
	}
	wantUndone(t, j, s, "web")
	if looked != 2 {
		t.Errorf("written %d times, want 2", looked)
	}
}

// TestEndInTheMiddleOfAChange ends the process, as it were, when the kernel is
// told, or has the kernel refuse. Another process cleans up.
func TestEndInTheMiddleOfAChange(t *testing.T) {
	died := errors.New("died")
	die := func() error { panic(died) }
	refuse := func() error { return died }
	for name, s := range map[string]*setting{
		"before the change":      {before: die},
		"after the change":       {after: die},
		"refused":                {before: refuse},
		"refused when it is set": {after: refuse},
	} {
		t.Run(name, func(t *testing.T) {
			s.value = "0"
			dir := t.TempDir()
			if err := survive(func() error { return holds{dir}.acquire(s, "web") }); !errors.Is(err, died) {
				t.Fatalf("acquire: %v, want %v", err, died)
			}
			s.before, s.after = nil, nil
			wantUndone(t, holds{dir}, s, "web")
		})
	}
}

// TestEndInTheMiddleOfUndoing does the same when the change is taken back.
func TestEndInTheMiddleOfUndoing(t *testing.T) {
	died := errors.New("died")
	die := func() error { panic(died) }
	refuse := func() error { return died }
	for name, late := range map[string]setting{
		"before the change": {before: die},
		"after the change":  {after: die},
		"refused":           {before: refuse},
	} {
		t.Run(name, func(t *testing.T) {
			j, s := holds{t.TempDir()}, &setting{value: "0"}
			if err := j.acquire(s, "web"); err != nil {
				t.Fatal(err)
			}
			s.before, s.after = late.before, late.after
			if err := survive(func() error { return j.release(s, "web") }); !errors.Is(err, died) {
				t.Fatalf("release: %v, want %v", err, died)
			}
			s.before, s.after = nil, nil
			wantUndone(t, j, s, "web")
		})
	}
}

// survive calls f and makes an error of a panic with one.
func survive(f func() error) (err error) {
	defer func() {
		if cause := recover(); cause != nil {
			err = cause.(error)
		}
	}()
	return f()
}

// TestRecordIsReplacedInOneStep keeps a record open while another takes its
// place: who is killed while writing leaves the old one whole.
func TestRecordIsReplacedInOneStep(t *testing.T) {
	j, s := holds{t.TempDir()}, &setting{value: "0"}
	if err := j.acquire(s, "web"); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(j.dir, "setting", changeFile)
	before, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	old, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = old.Close() }()
	s.value = "5" // an administrator's
	if err := j.acquire(s, "db"); err != nil {
		t.Fatal(err)
	}
	if c, _, err := j.load("setting"); err != nil || c.Old != "5" {
		t.Errorf("the journal says %+v, %v", c, err)
	}
	if still, err := io.ReadAll(old); err != nil || string(still) != string(before) {
		t.Errorf("the old record was changed from %q to %q (%v)", before, still, err)
	}
}
