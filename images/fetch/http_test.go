package fetch

import (
	"bytes"
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"
)

func TestDownload(t *testing.T) {
	t.Parallel()
	content := noise(3<<20 + 17)
	server := serve(t, whole(content))
	for _, digest := range []Digest{sha256Of(content), sha512Of(content), Digest(sha256Of(content).Hex())} {
		var done, total int64
		o := quick
		o.Progress = func(step Step, d, all int64) {
			if step == Downloading {
				done, total = d, all
			}
		}
		f := mustGet(t, t.TempDir(), Source{Location: server.URL + "/a/disk.img?x=1", Digest: digest}, o, content)
		if want, _ := ParseDigest(string(digest)); f.SourceDigest != want || f.Name != "disk.img" || f.Packing != "" {
			t.Errorf("%+v", f)
		}
		if done != int64(len(content)) || total != done {
			t.Errorf("the last progress is %d of %d", done, total)
		}
	}
}

// The size need not be known before.
func TestDownloadOfUnknownSize(t *testing.T) {
	t.Parallel()
	content := noise(1 << 20)
	server := serve(t, func(w http.ResponseWriter, _ *http.Request) {
		_ = http.NewResponseController(w).Flush()
		_, _ = w.Write(content)
	})
	mustGet(t, t.TempDir(), Source{Location: server.URL, Digest: sha256Of(content)}, quick, content)
}

func TestWhatIsNotChecked(t *testing.T) {
	t.Parallel()
	server := serve(t, whole(noise(1000)))
	dir := t.TempDir()
	mustFail(t, dir, Source{Location: server.URL + "/disk.img"}, quick, ErrUnchecked, "--checksum sha256:", "--checksums")
	mustFail(t, dir, Source{Location: server.URL + "/disk.img", Digest: "sha256:12"}, quick, ErrDigest)
	if n := len(server.asked()); n != 0 {
		t.Errorf("the server was asked %d times all the same", n)
	}
	wantEmpty(t, dir)
}

func TestWrongChecksum(t *testing.T) {
	t.Parallel()
	page := []byte("\n<!DOCTYPE html><html><body>Choose a mirror</body></html>")
	server := serve(t, whole(noise(1000)))
	pages := serve(t, whole(page))
	dir := t.TempDir()
	want := Digest("sha256:" + hexA)
	mustFail(t, dir, Source{Location: server.URL + "/disk.img", Digest: want}, quick, ErrChecksum, hexA, string(sha256Of(noise(1000))))
	mustFail(t, dir, Source{Location: pages.URL + "/disk.img", Digest: want}, quick, ErrChecksum, "web page")
	if n := len(server.asked()); n != 1 {
		t.Errorf("the server was asked %d times", n)
	}
	wantEmpty(t, dir)
}

func TestStatuses(t *testing.T) {
	t.Parallel()
	for code, want := range map[int]struct {
		kind  error
		times int
	}{
		404: {ErrNotFound, 1}, 410: {ErrNotFound, 1}, 403: {ErrForbidden, 1}, 401: {ErrForbidden, 1}, 400: {ErrServer, 1}, 204: {ErrServer, 1},
		206: {ErrServer, 1}, 500: {ErrServer, 3}, 503: {ErrServer, 3}, 429: {ErrServer, 3},
	} {
		server := serve(t, status(code))
		dir := t.TempDir()
		mustFail(t, dir, Source{Location: server.URL + "/disk.img", Digest: Digest("sha256:" + hexA)}, Options{Pause: time.Millisecond, Tries: 2}, want.kind, "/disk.img")
		if n := len(server.asked()); n != want.times {
			t.Errorf("%d: asked %d times, want %d", code, n, want.times)
		}
	}
}

func TestPassingErrors(t *testing.T) {
	t.Parallel()
	content := noise(1 << 20)
	server := serve(t, status(503), status(500), cut(content, 1), cut(content, 300_000), cut(content, 200_000), whole(content))
	mustGet(t, t.TempDir(), Source{Location: server.URL, Digest: sha256Of(content)}, quick, content)
	if n := len(server.asked()); n != 6 {
		t.Errorf("asked %d times", n)
	}
}

// A connection that always breaks is not tried for ever, and a server that gets
// on by a megabyte each time is tried as long as it takes.
func TestTriesAreBounded(t *testing.T) {
	t.Parallel()
	content := noise(4 << 20)
	dir := t.TempDir()
	s := func(o *origin) Source { return Source{Location: o.URL, Digest: sha256Of(content)} }
	mustFail(t, dir, s(serve(t, cut(content, 1000))), Options{Pause: time.Millisecond, Tries: 3}, ErrConnection)
	slow := serve(t, cut(content, 1<<20+1))
	mustGet(t, t.TempDir(), s(slow), Options{Pause: time.Millisecond, Tries: 1}, content)
	if n := len(slow.asked()); n != 4 {
		t.Errorf("asked %d times", n)
	}
	if got := onePartial(t, dir); !bytes.Equal(got, content[:4000]) {
		t.Errorf("%d bytes are kept", len(got))
	}
}

func TestSilentServer(t *testing.T) {
	t.Parallel()
	gate := make(chan struct{})
	defer close(gate)
	hang := func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Length", "100000")
		_, _ = w.Write(noise(50000))
		_ = http.NewResponseController(w).Flush()
		select {
		case <-gate:
		case <-r.Context().Done():
		}
	}
	mute := func(_ http.ResponseWriter, r *http.Request) {
		select {
		case <-gate:
		case <-r.Context().Done():
		}
	}
	for _, handler := range []http.HandlerFunc{hang, mute} {
		server := serve(t, handler)
		mustFail(t, t.TempDir(), Source{Location: server.URL, Digest: Digest("sha256:" + hexA)},
			Options{Idle: 50 * time.Millisecond, Pause: time.Millisecond, Tries: 1}, ErrConnection, "for too long")
	}
}

// drip sends a byte at a time as long as anybody listens.
func drip(w http.ResponseWriter, r *http.Request) {
	for r.Context().Err() == nil {
		if _, err := w.Write([]byte{0}); err != nil {
			return
		}
		_ = http.NewResponseController(w).Flush()
		<-time.After(time.Millisecond)
	}
}

func TestDrippingServer(t *testing.T) {
	t.Parallel()
	server := serve(t, drip)
	mustFail(t, t.TempDir(), Source{Location: server.URL, Digest: Digest("sha256:" + hexA)},
		Options{Idle: 300 * time.Millisecond, Tries: -1}, ErrConnection, "next to nothing")
}

func TestEndlessServer(t *testing.T) {
	t.Parallel()
	server := serve(t, func(w http.ResponseWriter, _ *http.Request) {
		for {
			if _, err := w.Write(noise(1 << 16)); err != nil {
				return
			}
		}
	})
	dir := t.TempDir()
	mustFail(t, dir, Source{Location: server.URL, Digest: Digest("sha256:" + hexA)}, Options{MaxSize: 10 << 20}, ErrSize, "10 MiB")
	wantEmpty(t, dir)
	sums := Source{Location: server.URL, Sums: server.URL}
	mustFail(t, dir, sums, Options{SumsByHTTP: true}, ErrSums)
}

func TestLyingContentLength(t *testing.T) {
	t.Parallel()
	content := noise(100_000)
	claim := func(n string) http.HandlerFunc {
		return func(w http.ResponseWriter, _ *http.Request) {
			conn, _, err := http.NewResponseController(w).Hijack() // Go's own server does not lie
			if err != nil {
				panic(err)
			}
			_, _ = fmt.Fprintf(conn, "HTTP/1.1 200 OK\r\nContent-Length: %s\r\n\r\n%s", n, content)
			_ = conn.Close()
		}
	}
	dir := t.TempDir()
	s := func(o *origin) Source { return Source{Location: o.URL, Digest: sha256Of(content)} }
	mustFail(t, dir, s(serve(t, claim("200000"))), Options{Pause: time.Millisecond, Tries: 2}, ErrConnection)
	mustFail(t, t.TempDir(), s(serve(t, claim("50000"))), quick, ErrChecksum)
	mustFail(t, t.TempDir(), s(serve(t, claim("9000000000000000000"))), quick, ErrNoSpace)
	// Two servers make a file: the one that lied is gone.
	mustGet(t, t.TempDir(), s(serve(t, claim("200000"), whole(content))), quick, content)
}

func TestRedirects(t *testing.T) {
	t.Parallel()
	content := noise(1000)
	target := serve(t, whole(content))
	to := func(url string) *origin {
		return serve(t, func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, url, http.StatusFound) })
	}
	digest := sha256Of(content)
	mustGet(t, t.TempDir(), Source{Location: to(target.URL+"/b").URL + "/a.img", Digest: digest}, quick, content)
	loop := serve(t, func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, r.URL.Path+"x", http.StatusFound) })
	mustFail(t, t.TempDir(), Source{Location: loop.URL + "/a", Digest: digest}, quick, ErrRedirect, "more than 10 times")
	if n := len(loop.asked()); n != 11 {
		t.Errorf("it was asked %d times", n)
	}
	mustFail(t, t.TempDir(), Source{Location: to("file:///etc/passwd").URL + "/a", Digest: digest}, quick, ErrRedirect)
	mustFail(t, t.TempDir(), Source{Location: to("http://" + strings.TrimPrefix(target.URL, "http://") + "/\x7f").URL, Digest: digest}, quick, ErrConnection)
}

// secure is a server with TLS, and the options that trust it.
func secure(t *testing.T, handlers ...http.HandlerFunc) (*origin, Options) {
	t.Helper()
	o := &origin{}
	o.Server = httptest.NewUnstartedServer(o.turns(handlers))
	o.Config.ErrorLog = log.New(io.Discard, "", 0) // of clients that do not trust it
	o.StartTLS()
	t.Cleanup(o.Close)
	roots := x509.NewCertPool()
	roots.AddCert(o.Certificate())
	return o, Options{Pause: time.Millisecond, Roots: roots}
}

func TestTLS(t *testing.T) {
	t.Parallel()
	content := noise(1000)
	digest := sha256Of(content)
	server, trusting := secure(t, whole(content))
	mustGet(t, t.TempDir(), Source{Location: server.URL, Digest: digest}, trusting, content)
	mustFail(t, t.TempDir(), Source{Location: server.URL, Digest: digest}, quick, ErrTLS)
	plain := serve(t, whole(content))
	mustFail(t, t.TempDir(), Source{Location: strings.Replace(plain.URL, "http:", "https:", 1), Digest: digest}, quick, ErrTLS)
	down, trusting := secure(t, func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, plain.URL+"/b", http.StatusFound) })
	mustFail(t, t.TempDir(), Source{Location: down.URL, Digest: digest}, trusting, ErrInsecure, plain.URL)
	if n := len(plain.asked()); n != 0 {
		t.Errorf("the plain server was asked %d times", n)
	}
}

func TestHostsThatCannotBeReached(t *testing.T) {
	t.Parallel()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	closed := "http://" + listener.Addr().String()
	_ = listener.Close()
	digest := Digest("sha256:" + hexA)
	dir := t.TempDir()
	mustFail(t, dir, Source{Location: closed + "/a", Digest: digest}, quick, ErrHost, "refused")
	wantEmpty(t, dir)
	missing := &net.DNSError{Err: "no such host", Name: "nowhere.example", IsNotFound: true}
	if e := requestFailed(fmt.Errorf("dial: %w", missing), true); !errors.Is(e, ErrHost) || !strings.Contains(e.Error(), "there is no host nowhere.example") {
		t.Error(e)
	}
}

// What the environment names as a proxy is asked for what lies elsewhere.
func TestProxy(t *testing.T) {
	t.Parallel()
	content := noise(1000)
	proxy := serve(t, whole(content))
	s := Source{Location: "http://images.example/disk.img", Digest: sha256Of(content)}
	r := startChild(t, order{Dir: t.TempDir(), Source: s, Env: []string{"HTTP_PROXY=" + proxy.URL, "http_proxy=" + proxy.URL}}).end(t)
	if asked := proxy.asked(); r.Digest != sha256Of(content) || len(asked) != 1 || asked[0].URL.String() != s.Location {
		t.Errorf("%+v, asked %d times", r, len(asked))
	}
	secret := Source{Location: "https://images.example/disk.img", Digest: sha256Of(content)}
	r = startChild(t, order{Dir: t.TempDir(), Source: secret, Env: []string{"HTTPS_PROXY=http://127.0.0.1:1", "https_proxy=http://127.0.0.1:1"}}).end(t)
	if !strings.Contains(r.Error, "the proxy cannot be reached") {
		t.Errorf("%+v", r)
	}
}

// A server that has answered may be away for a moment.
func TestServerThatRestarts(t *testing.T) {
	t.Parallel()
	refused := &net.OpError{Op: "dial", Err: errors.New("connection refused")}
	if requestFailed(refused, false).passing || !requestFailed(refused, true).passing {
		t.Error("a refused connection passes if, and only if, the server has answered before")
	}
}

func TestSums(t *testing.T) {
	t.Parallel()
	content := noise(1000)
	digest := sha256Of(content)
	var sums string
	mux := http.NewServeMux()
	mux.HandleFunc("/a/disk.img", whole(content))
	mux.HandleFunc("/a/SHA512SUMS", func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte(sums)) })
	server, trusting := secure(t, mux.ServeHTTP)
	image := server.URL + "/a/disk.img"
	for _, text := range []string{digest.Hex() + " *disk.img\n", "SHA512 (disk.img) = " + sha512Of(content).Hex() + "\n"} {
		sums = hexB + "  other.img\n" + text
		mustGet(t, t.TempDir(), Source{Location: image, Sums: server.URL + "/a/SHA512SUMS"}, trusting, content)
		mustGet(t, t.TempDir(), Source{Location: image, Sums: Auto}, trusting, content)
		local := writeFile(t, t.TempDir()+"/sums", []byte(sums))
		mustGet(t, t.TempDir(), Source{Location: image, Sums: local}, trusting, content)
		mustGet(t, t.TempDir(), Source{Location: image, Sums: "file://" + local}, trusting, content)
	}
	dir := t.TempDir()
	sums = hexA + "  disk.img\n"
	mustFail(t, dir, Source{Location: image, Sums: Auto}, trusting, ErrChecksum)
	mustGet(t, dir, Source{Location: image, Sums: Auto, Digest: digest}, trusting, content) // the digest comes first
	if d, err := Expected(t.Context(), Source{Location: image, Sums: Auto}, trusting); d.Hex() != hexA || err != nil {
		t.Errorf("%q is expected: %v", d, err)
	}
	sums = hexA + "  other.img\n"
	mustFail(t, dir, Source{Location: image, Sums: Auto}, trusting, ErrSums, "SHA512SUMS", "disk.img")
	mustFail(t, dir, Source{Location: server.URL + "/b/disk.img", Sums: Auto}, trusting, ErrUnchecked, "SHA256SUMS")
	mustFail(t, dir, Source{Location: image, Sums: server.URL + "/a/no"}, trusting, ErrNotFound, "/a/no")
	mustFail(t, dir, Source{Location: image, Sums: dir + "/no"}, trusting, ErrNotFound, "/no")
	mustFail(t, dir, Source{Location: image, Sums: "ftp://h/a"}, trusting, ErrLocation)
	wantEmpty(t, dir)
}

// Checksums by http are worth nothing against an attacker.
func TestSumsByHTTP(t *testing.T) {
	t.Parallel()
	content := noise(1000)
	mux := http.NewServeMux()
	mux.HandleFunc("/disk.img", whole(content))
	mux.HandleFunc("/SHA256SUMS", whole([]byte(sha256Of(content).Hex()+"  disk.img\n")))
	server := serve(t, mux.ServeHTTP)
	s := Source{Location: server.URL + "/disk.img", Sums: Auto}
	mustFail(t, t.TempDir(), s, quick, ErrInsecure, "http")
	if n := len(server.asked()); n != 0 {
		t.Errorf("asked %d times all the same", n)
	}
	insisting := quick
	insisting.SumsByHTTP = true
	mustGet(t, t.TempDir(), s, insisting, content)
}

func TestSecretsAreNotTold(t *testing.T) {
	t.Parallel()
	content := noise(1000)
	server := serve(t, func(w http.ResponseWriter, r *http.Request) {
		if _, password, _ := r.BasicAuth(); password != "secret" {
			w.WriteHeader(http.StatusUnauthorized)
			return
		}
		whole(content)(w, r)
	})
	at := strings.Replace(server.URL, "http://", "http://me:secret@", 1) + "/disk.img"
	f := mustGet(t, t.TempDir(), Source{Location: at, Digest: sha256Of(content)}, quick, content)
	_, err := Get(t.Context(), t.TempDir(), Source{Location: at, Digest: Digest("sha256:" + hexA)}, quick)
	if strings.Contains(f.Source, "secret") || err == nil || strings.Contains(err.Error(), "secret") {
		t.Errorf("%q %v", f.Source, err)
	}
	mustFail(t, t.TempDir(), Source{Location: server.URL, Digest: sha256Of(content)}, quick, ErrForbidden)
}

func TestContextEnds(t *testing.T) {
	t.Parallel()
	content := noise(1 << 20)
	ctx, cancel := context.WithCancel(t.Context())
	server := serve(t, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("ETag", tag)
		w.Header().Set("Content-Length", fmt.Sprint(len(content)))
		_, _ = w.Write(content[:1<<19])
		_ = http.NewResponseController(w).Flush()
		<-r.Context().Done()
	}, whole(content))
	o := quick
	o.Progress = func(_ Step, done, _ int64) {
		if done == 1<<19 {
			cancel()
		}
	}
	dir := t.TempDir()
	s := Source{Location: server.URL, Digest: sha256Of(content)}
	if _, err := Get(ctx, dir, s, o); !errors.Is(err, context.Canceled) {
		t.Fatal(err)
	}
	if _, err := Get(ended(), dir, s, o); !errors.Is(err, context.Canceled) {
		t.Fatal(err)
	}
	if got := onePartial(t, dir); !bytes.Equal(got, content[:1<<19]) {
		t.Errorf("%d bytes are kept", len(got))
	}
	mustGet(t, dir, s, quick, content)
}
