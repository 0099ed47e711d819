package fetch

import (
	"bytes"
	"context"
	"crypto/sha256"
	"crypto/sha512"
	"errors"
	"io"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"
)

// noise is content that cannot be packed, always the same for a size.
func noise(size int) []byte {
	b := make([]byte, size)
	_, _ = rand.NewChaCha8([32]byte{1}).Read(b)
	return b
}

func sha256Of(b []byte) Digest {
	sum := sha256.Sum256(b)
	return digestOf(sha256Kind, sum[:])
}

func sha512Of(b []byte) Digest {
	sum := sha512.Sum512(b)
	return digestOf(sha512Kind, sum[:])
}

func writeFile(t testing.TB, path string, content []byte) string {
	t.Helper()
	if err := os.WriteFile(path, content, 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// tool packs by the program itself.
func tool(t testing.TB, stdin []byte, program string, args ...string) []byte {
	t.Helper()
	if _, err := exec.LookPath(program); err != nil {
		t.Skipf("needs %s to make an archive: %v", program, err)
	}
	cmd := exec.Command(program, args...)
	cmd.Stdin = bytes.NewReader(stdin)
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("%s %q: %v", program, args, err)
	}
	return out
}

// origin is a server of one file, which writes down what it is asked.
type origin struct {
	*httptest.Server
	mu       sync.Mutex
	requests []*http.Request
}

// serve answers each request by the handler for its turn, the last one for all
// that follow.
func serve(t *testing.T, handlers ...http.HandlerFunc) *origin {
	t.Helper()
	o := &origin{}
	o.Server = httptest.NewServer(o.turns(handlers))
	t.Cleanup(o.Close)
	return o
}

func (o *origin) turns(handlers []http.HandlerFunc) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		o.mu.Lock()
		turn := min(len(o.requests), len(handlers)-1)
		o.requests = append(o.requests, r)
		o.mu.Unlock()
		handlers[turn](w, r)
	})
}

func (o *origin) asked() []*http.Request {
	o.mu.Lock()
	defer o.mu.Unlock()
	return append([]*http.Request(nil), o.requests...)
}

const tag = `"v1"`

// whole serves content as a good server does, with ranges.
func whole(content []byte) http.HandlerFunc { return tagged(content, tag) }

func tagged(content []byte, tag string) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		if tag != "" {
			w.Header().Set("ETag", tag)
		}
		http.ServeContent(w, r, "", time.Time{}, bytes.NewReader(content))
	}
}

// cut serves so much of the content and then breaks the connection.
func cut(content []byte, at int) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("ETag", tag)
		http.ServeContent(&cutter{w, at}, r, "", time.Time{}, bytes.NewReader(content))
	}
}

type cutter struct {
	http.ResponseWriter
	left int
}

func (c *cutter) Write(p []byte) (int, error) {
	n := min(c.left, len(p))
	_, _ = c.ResponseWriter.Write(p[:n])
	if c.left -= n; c.left == 0 {
		_ = http.NewResponseController(c.ResponseWriter).Flush()
		panic(http.ErrAbortHandler)
	}
	return n, nil
}

func status(code int) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(code) }
}

// quick are options that do not wait.
var quick = Options{Pause: time.Millisecond}

// get gets a file and returns its content, and the file closed.
func get(t *testing.T, dir string, s Source, o Options) ([]byte, *File, error) {
	t.Helper()
	f, err := Get(t.Context(), dir, s, o)
	if err != nil {
		if f != nil {
			t.Error("a file beside the error")
		}
		return nil, nil, err
	}
	defer func() { _ = f.Close() }()
	content, err := io.ReadAll(f)
	if err != nil {
		t.Fatal(err)
	}
	if f.Digest != sha256Of(content) {
		t.Errorf("the digest of the result is %s, and it says %s", sha256Of(content), f.Digest)
	}
	if _, err := f.Write([]byte("x")); err == nil {
		t.Error("the result can be written to")
	}
	return content, f, nil
}

// mustGet is a get that succeeds with this content and leaves nothing.
func mustGet(t *testing.T, dir string, s Source, o Options, want []byte) *File {
	t.Helper()
	content, f, err := get(t, dir, s, o)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(content, want) {
		t.Fatalf("%d bytes came, not the %d that were due", len(content), len(want))
	}
	wantEmpty(t, dir)
	return f
}

// mustFail is a get that fails for this reason.
func mustFail(t *testing.T, dir string, s Source, o Options, kind error, words ...string) {
	t.Helper()
	_, _, err := get(t, dir, s, o)
	var e *Error
	if !errors.Is(err, kind) || !errors.As(err, &e) {
		t.Fatalf("failed with %v, which is not of kind %q", err, kind)
	}
	if e.Detail == "" || e.Advice == "" {
		t.Errorf("%q lacks what is the matter, or what to do", err)
	}
	for _, word := range words {
		if !strings.Contains(err.Error(), word) {
			t.Errorf("%q does not say %q", err, word)
		}
	}
}

func wantEmpty(t *testing.T, dir string) {
	t.Helper()
	wantFiles(t, dir, 0)
}

func wantFiles(t *testing.T, dir string, want int) {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	if len(entries) != want {
		t.Errorf("the folder has %d files, want %d: %v", len(entries), want, entries)
	}
}

// onePartial is the content of the only partial file.
func onePartial(t *testing.T, dir string) []byte {
	t.Helper()
	paths, err := filepath.Glob(filepath.Join(dir, "*"+partialEnding))
	if err != nil || len(paths) != 1 {
		t.Fatalf("partial files: %q %v", paths, err)
	}
	content, err := os.ReadFile(paths[0])
	if err != nil {
		t.Fatal(err)
	}
	return content
}

func ended() context.Context {
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	return ctx
}
