package fetch

import (
	"bytes"
	"context"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"
)

// interrupt leaves a partial file with the first part of the content.
func interrupt(t *testing.T, dir string, s Source, part int) {
	t.Helper()
	mustFail(t, dir, s, Options{Pause: time.Millisecond, Tries: -1}, ErrConnection, "kept")
	if got := onePartial(t, dir); len(got) != part {
		t.Fatalf("%d bytes are kept, want %d", len(got), part)
	}
}

func TestResume(t *testing.T) {
	t.Parallel()
	content := noise(1 << 20)
	const part = 700_000
	server := serve(t, cut(content, part), whole(content))
	dir := t.TempDir()
	s := Source{Location: server.URL + "/disk.img", Digest: sha256Of(content)}
	interrupt(t, dir, s, part)
	mustGet(t, dir, s, quick, content)
	asked := server.asked()
	if len(asked) != 2 || asked[0].Header.Get("Range") != "" || asked[1].Header.Get("Range") != "bytes=700000-" || asked[1].Header.Get("If-Range") != tag {
		t.Errorf("asked %d times, at last with %v", len(asked), asked[len(asked)-1].Header)
	}
}

// What a server does with the request to go on, and whether the file must be
// downloaded from its start.
func TestResumeIsRefused(t *testing.T) {
	t.Parallel()
	content := noise(300_000)
	const part = 100_000
	answer := func(code int, header ...string) http.HandlerFunc {
		return func(w http.ResponseWriter, r *http.Request) {
			if r.Header.Get("Range") == "" {
				whole(content)(w, r)
				return
			}
			w.Header().Set("ETag", tag)
			for i := 0; i < len(header); i += 2 {
				w.Header().Set(header[i], header[i+1])
			}
			w.WriteHeader(code)
			_, _ = w.Write(content[part:])
		}
	}
	for name, c := range map[string]struct {
		handler http.HandlerFunc
		asked   int
	}{
		"another version":    {tagged(content, `"v2"`), 2},
		"no ranges":          {func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write(content) }, 2},
		"the right range":    {answer(206, "Content-Range", "bytes 100000-299999/300000"), 2},
		"unknown total":      {answer(206, "Content-Range", "bytes 100000-299999/*"), 2},
		"another range":      {answer(206, "Content-Range", "bytes 100001-299999/300000"), 3},
		"another total":      {answer(206, "Content-Range", "bytes 100000-299999/300001"), 3},
		"another tag":        {answer(206, "Content-Range", "bytes 100000-299999/300000", "ETag", `"v2"`), 3},
		"no range":           {answer(206), 3},
		"nonsense":           {answer(206, "Content-Range", "bytes 100000-2999990/300000"), 3},
		"several ranges":     {answer(206, "Content-Type", "multipart/byteranges; boundary=x"), 3},
		"not satisfiable":    {answer(416, "Content-Range", "bytes */50000"), 3},
		"not satisfiable, *": {answer(416), 3},
	} {
		server := serve(t, cut(content, part), c.handler)
		dir := t.TempDir()
		s := Source{Location: server.URL, Digest: sha256Of(content)}
		interrupt(t, dir, s, part)
		mustGet(t, dir, s, quick, content)
		if n := len(server.asked()); n != c.asked {
			t.Errorf("%s: asked %d times, want %d", name, n, c.asked)
		}
	}
}

// A server need not send all of the rest at once.
func TestResumeInPieces(t *testing.T) {
	t.Parallel()
	content := noise(300_000)
	piece := func(w http.ResponseWriter, r *http.Request) {
		var from int
		if _, err := fmt.Sscanf(r.Header.Get("Range"), "bytes=%d-", &from); err != nil {
			t.Error(err)
		}
		to := min(from+100_000, len(content))
		w.Header().Set("ETag", tag)
		w.Header().Set("Content-Range", fmt.Sprintf("bytes %d-%d/%d", from, to-1, len(content)))
		w.WriteHeader(http.StatusPartialContent)
		_, _ = w.Write(content[from:to])
	}
	server := serve(t, cut(content, 50_000), piece)
	mustGet(t, t.TempDir(), Source{Location: server.URL, Digest: sha256Of(content)}, quick, content)
	if n := len(server.asked()); n != 4 {
		t.Errorf("asked %d times", n)
	}
}

// A server that gives its files no tag, or a weak one, may name them by time,
// or not at all.
func TestResumeByTime(t *testing.T) {
	t.Parallel()
	content := noise(300_000)
	at := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	for _, c := range []struct {
		tag     string
		time    time.Time
		ifRange string
	}{
		{`W/"v1"`, at, at.Format(http.TimeFormat)}, {"", at, at.Format(http.TimeFormat)}, {`W/"v1"`, time.Time{}, ""}, {"", time.Time{}, ""},
	} {
		serving := func(w http.ResponseWriter, r *http.Request) {
			if c.tag != "" {
				w.Header().Set("ETag", c.tag)
			}
			http.ServeContent(w, r, "", c.time, bytes.NewReader(content))
		}
		server := serve(t, func(w http.ResponseWriter, r *http.Request) { serving(&cutter{w, 100_000}, r) }, serving)
		dir := t.TempDir()
		s := Source{Location: server.URL, Digest: sha256Of(content)}
		interrupt(t, dir, s, 100_000)
		mustGet(t, dir, s, quick, content)
		asked := server.asked()
		if len(asked) != 2 || asked[1].Header.Get("If-Range") != c.ifRange || (asked[1].Header.Get("Range") != "") != (c.ifRange != "") {
			t.Errorf("%+v: asked %d times, at last with %v", c, len(asked), asked[len(asked)-1].Header)
		}
	}
}

// Nobody notices that the server has another file under the same tag by now, or
// that the partial file has gone bad, but by the checksum. It is downloaded
// anew then, once.
func TestResumeOfWhatIsWrong(t *testing.T) {
	t.Parallel()
	content := noise(300_000)
	other := bytes.Repeat([]byte("x"), len(content))
	server := serve(t, cut(other, 100_000), whole(content))
	dir := t.TempDir()
	s := Source{Location: server.URL, Digest: sha256Of(content)}
	interrupt(t, dir, s, 100_000)
	mustGet(t, dir, s, quick, content)
	if n := len(server.asked()); n != 3 {
		t.Errorf("asked %d times", n)
	}
	server = serve(t, cut(other, 100_000), whole(other))
	s.Location = server.URL
	interrupt(t, dir, s, 100_000)
	mustFail(t, dir, s, quick, ErrChecksum)
	if n := len(server.asked()); n != 3 {
		t.Errorf("asked %d times for what is wrong", n)
	}
	wantEmpty(t, dir)
}

// A partial file is worth nothing without its record.
func TestDamagedRecord(t *testing.T) {
	t.Parallel()
	content := noise(300_000)
	for name, damage := range map[string]func(path string) error{
		"gone":     os.Remove,
		"cut":      func(path string) error { return os.Truncate(path, 5) },
		"nonsense": func(path string) error { return os.WriteFile(path, []byte(`{"total":-5}`), 0o600) },
		"smaller":  func(path string) error { return os.WriteFile(path, []byte(`{"total":5,"etag":"\"v1\""}`), 0o600) },
	} {
		server := serve(t, cut(content, 100_000), whole(content))
		dir := t.TempDir()
		s := Source{Location: server.URL, Digest: sha256Of(content)}
		interrupt(t, dir, s, 100_000)
		paths, _ := filepath.Glob(filepath.Join(dir, "*"+recordEnding))
		if len(paths) != 1 {
			t.Fatalf("records: %q", paths)
		}
		if err := damage(paths[0]); err != nil {
			t.Fatal(err)
		}
		mustGet(t, dir, s, quick, content)
		if asked := server.asked(); len(asked) != 2 || asked[1].Header.Get("Range") != "" {
			t.Errorf("%s: asked %d times, at last with %v", name, len(asked), asked[len(asked)-1].Header)
		}
	}
}

// halfway serves half of a file and then waits for the gate.
func halfway(content []byte, gate <-chan struct{}) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("ETag", tag)
		w.Header().Set("Content-Length", fmt.Sprint(len(content)))
		_, _ = w.Write(content[:len(content)/2])
		_ = http.NewResponseController(w).Flush()
		select {
		case <-gate:
			_, _ = w.Write(content[len(content)/2:])
		case <-r.Context().Done():
		}
	}
}

// A process that is killed in the middle has done half of the work.
func TestKilled(t *testing.T) {
	t.Parallel()
	content := noise(8 << 20)
	server := serve(t, halfway(content, nil), whole(content))
	dir := t.TempDir()
	s := Source{Location: server.URL, Digest: sha256Of(content)}
	c := startChild(t, order{Dir: dir, Source: s})
	c.until(t, func(r report) bool { return r.Done == int64(len(content)/2) })
	if err := c.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = c.Wait()
	mustGet(t, dir, s, quick, content)
	if asked := server.asked(); len(asked) != 2 || asked[1].Header.Get("Range") != fmt.Sprintf("bytes=%d-", len(content)/2) {
		t.Errorf("asked %d times, at last with %v", len(asked), asked[len(asked)-1].Header)
	}
}

// A process is killed at each of its reports in turn, all on one folder, until one
// comes to its end.
func TestKilledEverywhere(t *testing.T) {
	t.Parallel()
	content := slices.Concat(noise(3<<20), make([]byte, 3<<20))
	packed := archive(t, "gzip -c", content)
	server := serve(t, whole(packed))
	dir := t.TempDir()
	s := Source{Location: server.URL, Digest: sha256Of(packed)}
	for n := 1; ; n++ {
		c := startChild(t, order{Dir: dir, Source: s})
		left := n
		last := c.until(t, func(r report) bool {
			left--
			return left == 0 || r.Digest != ""
		})
		if last.Digest != "" {
			if last.Digest != sha256Of(content) || n < 10 {
				t.Errorf("after %d reports it ended with %+v", n, last)
			}
			break
		}
		if err := c.Process.Kill(); err != nil {
			t.Fatal(err)
		}
		_ = c.Wait()
	}
	if _, err := Sweep(dir, 0, false); err != nil {
		t.Error(err)
	}
	wantEmpty(t, dir)
}

// What is kept need not be downloaded again, until it is discarded.
func TestKeep(t *testing.T) {
	t.Parallel()
	content := make([]byte, 300_000)
	packed := archive(t, "gzip -c", content)
	server := serve(t, whole(packed))
	dir := t.TempDir()
	s := Source{Location: server.URL, Digest: sha256Of(packed)}
	keeping := quick
	keeping.Keep = true
	keep := func(asked int) *File {
		t.Helper()
		f, err := Get(t.Context(), dir, s, keeping)
		if err != nil || f.Digest != sha256Of(content) || len(server.asked()) != asked {
			t.Fatalf("asked %d times, %v", len(server.asked()), err)
		}
		t.Cleanup(func() { _ = f.Close() })
		wantFiles(t, dir, 2)
		return f
	}
	first, second := keep(1), keep(1)
	second.Discard()
	wantEmpty(t, dir)
	third := keep(2)
	first.Discard() // another download has its place
	wantFiles(t, dir, 2)
	if err := third.Close(); err != nil {
		t.Error(err)
	}
	wantFiles(t, dir, 2)
	keep(2).Discard()
	wantEmpty(t, dir)
	mustGet(t, dir, Source{Location: writeFile(t, t.TempDir()+"/local", content)}, keeping, content)
}

// The last byte has come, and the process is killed before it could note that.
func TestKilledAtTheLastByte(t *testing.T) {
	t.Parallel()
	content := noise(300_000)
	server := serve(t, cut(content, 100_000))
	dir := t.TempDir()
	s := Source{Location: server.URL, Digest: sha256Of(content)}
	interrupt(t, dir, s, 100_000)
	paths, _ := filepath.Glob(filepath.Join(dir, "*"+partialEnding))
	writeFile(t, paths[0], content)
	mustGet(t, dir, s, quick, content)
	if n := len(server.asked()); n != 1 {
		t.Errorf("asked %d times", n)
	}
}

// All bytes have come, and the process is killed before it has used them.
func TestKilledWhenWhole(t *testing.T) {
	t.Parallel()
	content := noise(300_000)
	server := serve(t, whole(content))
	dir := t.TempDir()
	s := Source{Location: server.URL, Digest: sha256Of(content)}
	ctx, cancel := context.WithCancel(t.Context())
	o := quick
	o.Progress = func(step Step, _, _ int64) {
		if step == Checking {
			cancel()
		}
	}
	if f, err := Get(ctx, dir, s, o); err == nil {
		_ = f.Close()
		t.Fatal("it was not interrupted")
	}
	mustGet(t, dir, s, quick, content)
	if n := len(server.asked()); n != 1 {
		t.Errorf("asked %d times", n)
	}
}
