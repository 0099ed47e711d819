package launcher

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestParseCondition(t *testing.T) {
	for _, text := range []string{"none", "running", "net", "console:login:", `console:^guest: (ready|up)$`} {
		if c, err := ParseCondition(text); err != nil || c.String() != text {
			t.Errorf("%s: %s, %v", text, c, err)
		}
	}
	for _, text := range []string{"", "Running", "running ", "console", "console:", "console:(", `console:\8`, "net,running"} {
		if c, err := ParseCondition(text); KindOf(err) != KindUsage {
			t.Errorf("%q: %s, %v; want a usage error", text, c, err)
		}
	}
	running, err := ParseCondition("running")
	if err != nil || !running.Is(WaitRunning) || running.Is(WaitNone) {
		t.Errorf("conditions are not compared by what they are: %v", err)
	}
}

// growing is a log that a test appends to, and a search in it.
func growing(t *testing.T, pattern string) (*os.File, *search) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "console.log")
	w, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = w.Close() })
	r, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = r.Close() })
	condition, err := ParseCondition(consolePrefix + pattern)
	if err != nil {
		t.Fatal(err)
	}
	return w, &search{log: r, pattern: condition.console}
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
			w, s := growing(t, c.pattern)
			at := 0
			for i, chunk := range c.chunks {
				if _, err := w.WriteString(chunk); err != nil {
					t.Fatal(err)
				}
				met, err := s.met()
				if err != nil {
					t.Fatal(err)
				}
				if met {
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
