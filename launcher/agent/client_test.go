package agent

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// guest is the other side of a port: what QEMU and an agent do with its pipes.
type guest struct {
	folder  string
	in, out *os.File
}

func newGuest(t *testing.T) *guest {
	t.Helper()
	g := &guest{folder: filepath.Join(t.TempDir(), "agent")}
	folder, err := Make(g.folder, uint32(os.Getuid()), uint32(os.Getgid()))
	if err != nil {
		t.Fatal(err)
	}
	_ = folder.Close()
	for name, file := range map[string]**os.File{inFile: &g.in, outFile: &g.out} {
		if *file, err = os.OpenFile(filepath.Join(g.folder, name), os.O_RDWR, 0); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = (*file).Close() })
	}
	return g
}

func (g *guest) open(t *testing.T) *Client {
	t.Helper()
	p, err := Open(g.folder)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(p.Close)
	return New(p)
}

// serve answers each question by what answer says of it, which may be several lines.
func (g *guest) serve(answer func(command string, arguments map[string]any) string) {
	go func() {
		decoder := json.NewDecoder(skipping{g.in})
		for {
			var q struct {
				Execute   string
				Arguments map[string]any
			}
			if decoder.Decode(&q) != nil {
				return
			}
			if q.Execute == "guest-sync-delimited" {
				text, _ := json.Marshal(map[string]any{"return": q.Arguments["id"]})
				_, _ = g.out.Write(append(append([]byte{delimiter}, text...), '\n'))
				continue
			}
			_, _ = io.WriteString(g.out, answer(q.Execute, q.Arguments))
		}
	}()
}

// skipping leaves delimiters out.
type skipping struct{ io.Reader }

func (s skipping) Read(p []byte) (int, error) {
	n, err := s.Reader.Read(p)
	return copy(p, bytes.ReplaceAll(p[:n], []byte{delimiter}, nil)), err
}

func within(t *testing.T, d time.Duration) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), d)
	t.Cleanup(cancel)
	return ctx
}

func TestAnswers(t *testing.T) {
	g := newGuest(t)
	g.serve(func(command string, arguments map[string]any) string {
		switch command {
		case "guest-ping":
			return `{"return": {}}` + "\n"
		case "guest-exec":
			if arguments["path"] == "ls" {
				return `{"return": {"pid": 7}}` + "\n"
			}
			return `{"error": {"class": "CommandDisabled", "desc": "no"}}` + "\n"
		case "guest-exec-status":
			return `{"return": {"exited": true, "exitcode": 3, "out-data": "aGVsbG8="}}` + "\n"
		}
		return "\n"
	})
	c, ctx := g.open(t), within(t, time.Minute)
	if err := c.Ping(ctx); err != nil {
		t.Fatal(err)
	}
	if pid, err := c.Exec(ctx, Command{Path: "ls", Args: []string{"-l"}}); err != nil || pid != 7 {
		t.Errorf("exec: %d, %v", pid, err)
	}
	if s, err := c.Status(ctx, 7); err != nil || !s.Exited || s.ExitCode != 3 || string(s.Out) != "hello" {
		t.Errorf("status: %+v, %v", s, err)
	}
	var refused *Refusal
	if _, err := c.Exec(ctx, Command{Path: "rm"}); !errors.As(err, &refused) || !refused.Unknown() {
		t.Errorf("a refusal: %v", err)
	}
	if c.port.owed() {
		t.Error("all has been answered, and something is owed")
	}
}

// Whoever gives up leaves an answer under way, which is not the next one's.
func TestAnswersOfOthers(t *testing.T) {
	g := newGuest(t)
	asked := make(chan bool)
	hold := make(chan bool)
	first := true
	g.serve(func(string, map[string]any) string {
		if first {
			first = false
			asked <- true
			<-hold
			return `{"return": {"pid": 1}}` + "\n"
		}
		return `{"return": {"pid": 2}}` + "\n"
	})
	ctx, cancel := context.WithCancel(context.Background())
	go func() { <-asked; cancel() }()
	if _, err := g.open(t).Exec(ctx, Command{Path: "a"}); !errors.Is(err, context.Canceled) {
		t.Fatalf("it was given up: %v", err)
	}
	close(hold)
	if pid, err := g.open(t).Exec(within(t, time.Minute), Command{Path: "b"}); err != nil || pid != 2 {
		t.Errorf("the answer is another's: %d, %v", pid, err)
	}
}

// Nobody waits longer for a guest than was said, whatever it does.
func TestHostileGuests(t *testing.T) {
	for name, answer := range map[string]string{
		"silence":        "",
		"no end":         strings.Repeat("x", 4096),
		"no answer":      "{}\n",
		"another answer": `{"return": "x"}` + "\n",
		"no JSON":        "\xff\xff{\n",
		"a big number":   `{"return": {"pid": 1e99}}` + "\n",
	} {
		t.Run(name, func(t *testing.T) {
			g := newGuest(t)
			g.serve(func(string, map[string]any) string { return answer })
			c := g.open(t)
			if pid, err := c.Exec(within(t, 300*time.Millisecond), Command{Path: "a"}); err == nil {
				t.Errorf("the process %d is taken for one", pid)
			}
			if !c.port.owed() {
				t.Error("what comes yet would be the next one's")
			}
		})
	}
}

func TestTurns(t *testing.T) {
	g := newGuest(t)
	holder, waiter := g.open(t), g.open(t)
	if err := holder.port.lock(within(t, time.Minute)); err != nil {
		t.Fatal(err)
	}
	if err := waiter.Ping(within(t, 50*time.Millisecond)); !errors.Is(err, ErrBusy) || !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("another speaks: %v", err)
	}
}

func TestNoPort(t *testing.T) {
	if _, err := Open(t.TempDir()); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("no folder: %v", err)
	}
	g := newGuest(t)
	_ = g.in.Close()
	_ = g.out.Close()
	if _, err := Open(g.folder); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("QEMU has ended: %v", err)
	}
}

// FuzzReader: lines are those of the text, in order, however it is cut, and nothing is
// kept of what comes before a delimiter.
func FuzzReader(f *testing.F) {
	f.Add([]byte("{\"return\": {}}\n{\"return\": 1}\n"), 1)
	f.Add([]byte("rest of\nanother\n\xff{\"return\": 7}\nnext\n"), 3)
	f.Add([]byte("\xff\xff\n\n\xff"), 2)
	f.Add(bytes.Repeat([]byte("x"), 3*chunk), chunk)
	f.Fuzz(func(t *testing.T, text []byte, size int) {
		size = max(1, size)
		r := reader{src: &pieces{text, size}}
		want := bytes.SplitAfter(text, []byte("\n"))
		for _, line := range want[:len(want)-1] {
			got, err := r.line()
			if err != nil || !bytes.Equal(got, bytes.TrimSuffix(line, []byte("\n"))) {
				t.Fatalf("line %q, %v; want %q", got, err, line)
			}
		}
		if got, err := r.line(); !errors.Is(err, io.EOF) {
			t.Fatalf("a line without an end: %q, %v", got, err)
		}
		r = reader{src: &pieces{text, size}}
		line, err := r.afterDelimiter()
		if err == nil && (bytes.IndexByte(text, delimiter) < 0 || !bytes.Contains(text, append(line, '\n'))) {
			t.Fatalf("after the delimiter: %q", line)
		}
	})
}

// pieces is a text that comes in pieces.
type pieces struct {
	text []byte
	size int
}

func (p *pieces) Read(b []byte) (int, error) {
	if len(p.text) == 0 {
		return 0, io.EOF
	}
	n := copy(b, p.text[:min(p.size, len(p.text))])
	p.text = p.text[n:]
	return n, nil
}

// FuzzParse: whatever the agent says is an answer of the kind that is wanted, a refusal,
// or an error.
func FuzzParse(f *testing.F) {
	for _, seed := range []string{`{"return": {"pid": 3}}`, `{"error": {"class": "GenericError", "desc": "x"}}`,
		"\xff{\"return\": 5}", `{"return": null}`, `[]`, `{"return": {"out-data": "!"}}`} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, line []byte) {
		var s Status
		if err := parse(line, "guest-exec-status", &s); err == nil && !json.Valid(bytes.Trim(line, "\xff")) {
			t.Fatalf("%q is taken for an answer: %+v", line, s)
		}
	})
}
