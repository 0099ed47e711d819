package launcher

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// growing is a log that a test appends to, and a look for a pattern in what is new.
func growing(t *testing.T, pattern string) (*os.File, *search, func() bool) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "console.log")
	log := console{path: path}
	t.Cleanup(log.close)
	if err := log.read(func([]byte) { t.Error("a log that is not there says something") }); err != nil {
		t.Errorf("a log that is not there yet: %v", err)
	}
	w, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = w.Close() })
	condition, err := ParseCondition(consolePrefix + pattern)
	if err != nil {
		t.Fatal(err)
	}
	s := &search{pattern: condition.console}
	return w, s, func() (met bool) {
		if err := log.read(func(text []byte) { met = met || s.take(text) }); err != nil {
			t.Fatal(err)
		}
		return met
	}
}

func TestSearchInAGrowingLog(t *testing.T) {
	const long = 100 << 10
	for _, c := range []struct {
		name    string
		pattern string
		chunks  []string
		metAt   int // after how many chunks; 0 for never
	}{
		{"at once", "ready", []string{"guest: ready\n"}, 1},
		{"later", "ready", []string{"", "boot\n", "ready\n"}, 3},
		{"across chunks", "guest: ready", []string{"gue", "st: ", "ready"}, 3},
		{"never", "ready", []string{"boot\n", "read", "\ny"}, 0},
		{"whole line", "^login: $", []string{"some login: \nlogin: ", "x"}, 1},
		{"carriage returns", "^ready$", []string{"boot\r\nready\r\n"}, 1},
		{"a carriage return of its own", "ready", []string{"rea", "\r", "dy"}, 3},
		{"behind much else", "ready", []string{strings.Repeat("x", long) + "ready" + strings.Repeat("y", long)}, 1},
		{"across the reading's own pieces", "ready", []string{strings.Repeat("x", maxWindow-2) + "ready"}, 1},
		{"two lines", `one\ntwo`, []string{"one\r\n", "two"}, 2},
		{"too far apart", `(?s)begin.*end`, []string{"begin" + strings.Repeat("x", 2*long), "end"}, 0},
		{"not UTF-8", "ready", []string{"\xff\xfe\x00", "ready"}, 2},
	} {
		t.Run(c.name, func(t *testing.T) {
			w, s, met := growing(t, c.pattern)
			at := 0
			for i, chunk := range c.chunks {
				if _, err := w.WriteString(chunk); err != nil {
					t.Fatal(err)
				}
				if met() {
					at = i + 1
					break
				}
				if len(s.window) > maxWindow {
					t.Fatalf("%d bytes are kept", len(s.window))
				}
			}
			if at != c.metAt {
				t.Errorf("met after %d chunks, want %d", at, c.metAt)
			}
		})
	}
}

// TestWhereTheConsoleBegins: at the present boot's beginning, or later where only what
// was said last matters.
func TestWhereTheConsoleBegins(t *testing.T) {
	path := filepath.Join(t.TempDir(), "console.log")
	old, present, last := strings.Repeat("o", 1000), strings.Repeat("p", 2*maxWindow), strings.Repeat("l", maxWindow)
	if err := os.WriteFile(path, []byte(old+present+last), 0o600); err != nil {
		t.Fatal(err)
	}
	c := console{path: path}
	defer c.close()
	hears := func(what, want string) {
		t.Helper()
		var heard []byte
		if err := c.read(func(text []byte) { heard = append(heard, text...) }); err != nil || string(heard) != want {
			t.Errorf("%s: %d bytes and %v, want %d", what, len(heard), err, len(want))
		}
	}
	hears("from the start", old+present+last)
	hears("nothing is new", "")
	c.restart(int64(len(old)), false)
	hears("the present boot", present+last)
	c.restart(int64(len(old)), true)
	hears("what was said last", last)
	c.restart(int64(len(old+present+last))-5, true)
	hears("a boot that has only begun", last[:5])
	c.restart(int64(len(old+present+last))+5, false) // the log is another by now
	hears("a boot that is to come", "")
}
