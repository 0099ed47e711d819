package e2e

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"math/big"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"kvmrun/tests/lab"
)

// mirror is a server of images on the LAN, by https and http.
type mirror struct {
	http, https string        // the folder's URLs
	trust       []string      // the environment of who trusts it
	gate        chan struct{} // closed, it lets downloads go on beyond their middle
	asked       atomic.Int64  // how often for the image
	resumed     atomic.Int64  // how often for its rest
	raw         atomic.Int64  // how often for the raw image
}

const imageFile = "disk.qcow2.xz"

// newMirror serves a packed qcow2 image and the files of checksums that belong,
// and do not belong, to it. The gate may be nil for one that is always open.
func newMirror(t *testing.T, h *host, gate chan struct{}) *mirror {
	t.Helper()
	h.sh(t, `
		mkdir -p /run/img && cd /run/img
		qemu-img create -q -f qcow2 disk.qcow2 32M
		head -c 8M /dev/urandom >noise
		qemu-img convert -f raw -O qcow2 noise disk.qcow2
		xz -1 -T1 -k disk.qcow2`)
	image, err := os.ReadFile(h.Host.File("/run/img/" + imageFile))
	if err != nil {
		t.Fatal(err)
	}
	m := &mirror{gate: gate}
	if gate == nil {
		m.gate = make(chan struct{})
		close(m.gate)
	}
	mux := http.NewServeMux()
	mux.HandleFunc("/"+imageFile, func(w http.ResponseWriter, r *http.Request) { m.serve(w, r, image) })
	mux.HandleFunc("/disk.img", func(w http.ResponseWriter, r *http.Request) {
		m.raw.Add(1)
		http.ServeFile(w, r, h.Host.File("/run/img/noise"))
	})
	serveText(mux, "/SHA256SUMS", fmt.Sprintf("%x *%s\n", sha256.Sum256(image), imageFile))
	serveText(mux, "/wrong/SHA256SUMS", fmt.Sprintf("%x *%s\n", sha256.Sum256(nil), imageFile))
	certificate, trusted := newCertificate(t)
	if err := os.WriteFile(h.Host.File("/run/img/ca.pem"), trusted, 0o644); err != nil {
		t.Fatal(err)
	}
	m.trust = []string{"SSL_CERT_FILE=/run/img/ca.pem"}
	plain, secure := m.listen(t, h, "80"), m.listen(t, h, "443")
	m.http, m.https = "http://"+lab.LANAddress, "https://"+lab.LANAddress
	go func() { _ = (&http.Server{Handler: mux, ReadHeaderTimeout: time.Minute}).Serve(plain) }()
	config := &tls.Config{Certificates: []tls.Certificate{certificate}, MinVersion: tls.VersionTLS12}
	go func() {
		_ = (&http.Server{Handler: mux, ReadHeaderTimeout: time.Minute}).Serve(tls.NewListener(secure, config))
	}()
	return m
}

func (m *mirror) listen(t *testing.T, h *host, port string) net.Listener {
	t.Helper()
	l, err := h.LAN.Listen("tcp", net.JoinHostPort(lab.LANAddress, port))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	return l
}

func serveText(mux *http.ServeMux, path, text string) {
	mux.HandleFunc(path, func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte(text)) })
}

// serve sends the image, half of it at first.
func (m *mirror) serve(w http.ResponseWriter, r *http.Request, image []byte) {
	w.Header().Set("ETag", `"v1"`)
	m.asked.Add(1)
	if r.Header.Get("Range") != "" {
		m.resumed.Add(1)
		http.ServeContent(w, r, "", time.Time{}, bytes.NewReader(image))
		return
	}
	w.Header().Set("Content-Length", fmt.Sprint(len(image)))
	_, _ = w.Write(image[:len(image)/2])
	_ = http.NewResponseController(w).Flush()
	select {
	case <-m.gate:
		_, _ = w.Write(image[len(image)/2:])
	case <-r.Context().Done():
	}
}

// newCertificate is one for the LAN's machine, and the same for those who shall
// trust it.
func newCertificate(t *testing.T) (tls.Certificate, []byte) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	now := time.Now()
	about := &x509.Certificate{SerialNumber: big.NewInt(1), NotBefore: now.Add(-time.Hour), NotAfter: now.Add(time.Hour),
		IPAddresses: []net.IP{net.ParseIP(lab.LANAddress)}, IsCA: true, BasicConstraintsValid: true}
	raw, err := x509.CreateCertificate(rand.Reader, about, about, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	return tls.Certificate{Certificate: [][]byte{raw}, PrivateKey: key}, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: raw})
}

// importing runs kvmrun image import as one who trusts the mirror.
func (m *mirror) importing(t *testing.T, h *host, args ...string) lab.Result {
	t.Helper()
	r := h.Host.RunWith(t, lab.Run{Env: m.trust}, "kvmrun", append([]string{"image", "import"}, args...)...)
	t.Logf("host%s", r)
	return r
}

// downloads are the files of downloads that are under way.
func (h *host) downloads(t *testing.T) []string {
	t.Helper()
	paths, err := filepath.Glob(h.Host.File("/var/lib/kvmrun/images/downloads/*"))
	if err != nil {
		t.Fatal(err)
	}
	return paths
}

func TestImageFromURL(t *testing.T) {
	t.Parallel()
	h := newHost(t)
	m := newMirror(t, h, nil)
	url := m.https + "/" + imageFile
	r := m.importing(t, h, "--json", "--checksums", "auto", url, "web")
	var image struct {
		Digest, Path string
		Source       struct{ From, Digest string }
	}
	if err := json.Unmarshal([]byte(r.Stdout), &image); err != nil || r.ExitCode != 0 {
		t.Fatalf("exit status %d, %v", r.ExitCode, err)
	}
	want := strings.Fields(h.sh(t, "sha256sum /run/img/disk.qcow2"))[0]
	if image.Digest != "sha256:"+want || image.Source.From != url {
		t.Errorf("%+v, and the image is %s", image, want)
	}
	h.sh(t, "cmp "+image.Path+" /run/img/disk.qcow2")

	sum := strings.Fields(h.sh(t, "sha512sum /run/img/"+imageFile))[0]
	if r := m.importing(t, h, "--checksum", "sha512:"+sum, m.http+"/"+imageFile, "web"); r.ExitCode != 0 || !strings.Contains(r.Stderr, "already") {
		t.Error("by http and a checksum it is not the same")
	}
	if r := m.importing(t, h, "--checksum", "sha512:"+sum, "/run/img/no-such-file", "web"); r.ExitCode == 0 {
		t.Errorf("a file that is not there has the checksum: %s", r)
	}
	if r := m.importing(t, h, "--checksums", "auto", "--checksums-by-http", m.http+"/"+imageFile, "http"); r.ExitCode != 0 {
		t.Error("checksums by http are refused though they were asked for")
	}
	before := m.asked.Load()
	if r := m.importing(t, h, "--checksums", "auto", m.https+"/"+imageFile, "http"); r.ExitCode != 0 || !strings.Contains(r.Stderr, "already") {
		t.Error("it is not known that the image has this checksum")
	}
	if m.asked.Load() != before {
		t.Error("it was downloaded again")
	}
	if left := h.downloads(t); len(left) != 0 {
		t.Errorf("%q are left", left)
	}
}

func TestImageFromURLRefused(t *testing.T) {
	t.Parallel()
	h := newHost(t)
	m := newMirror(t, h, nil)
	url := m.https + "/" + imageFile
	const fetchFailed = 19
	for name, c := range map[string]struct {
		status int
		args   []string
		word   string
	}{
		"no checksum":       {2, []string{url}, "--checksum sha256:"},
		"two ways":          {2, []string{"--checksum", "sha256:00", "--checksums", "auto", url}, "give one of them"},
		"malformed":         {2, []string{"--checksum", "sha256:00", url}, "64 hexadecimal digits"},
		"wrong":             {fetchFailed, []string{"--checksums", m.https + "/wrong/SHA256SUMS", url}, "its checksum is sha256:"},
		"sums by http":      {fetchFailed, []string{"--checksums", "auto", m.http + "/" + imageFile}, "can be replaced"},
		"not there":         {fetchFailed, []string{"--checksums", m.https + "/SHA256SUMS", m.https + "/no/" + imageFile}, "404 Not Found"},
		"not in the list":   {fetchFailed, []string{"--checksums", "auto", m.https + "/other.img"}, "no SHA-256 or SHA-512 checksum for other.img"},
		"no list":           {2, []string{"--checksums", "auto", m.https + "/no/" + imageFile}, "neither SHA256SUMS nor SHA512SUMS"},
		"nobody there":      {fetchFailed, []string{"--checksums", "auto", "https://" + lab.LANAddress + ":444/x"}, "connection refused"},
		"another protocol":  {2, []string{"ftp://" + lab.LANAddress + "/x"}, "ftp"},
		"backing for a URL": {fetchFailed, []string{"--allow-backing", "--checksums", m.https + "/wrong/SHA256SUMS", url}, "checksum"},
	} {
		r := m.importing(t, h, append(c.args, "web")...)
		if r.ExitCode != c.status || !strings.Contains(r.Stderr, c.word) || strings.Count(r.Stderr, "\n") != 1 || r.Stdout != "" {
			t.Errorf("%s: want status %d and %q", name, c.status, c.word)
		}
	}
	if r := h.Host.Run(t, "kvmrun", "image", "import", "--checksums", "auto", url, "web"); r.ExitCode != fetchFailed || !strings.Contains(r.Stderr, "ca-certificates") {
		t.Errorf("one who does not trust the mirror: %s", r)
	}
	if left := h.downloads(t); len(left) != 0 {
		t.Errorf("%q are left", left)
	}
	if list := h.must(t, "image", "ls", "-q"); list != "" {
		t.Errorf("there are images: %q", list)
	}
}

// Too little space is said before it is all gone, and nothing is left: for the
// download, for what is unpacked, for the copy in the store.
func TestImageFromURLFullDisk(t *testing.T) {
	t.Parallel()
	h := newHost(t)
	m := newMirror(t, h, nil)
	for _, size := range []string{"4m", "12m", "20m"} {
		h.sh(t, "mount -t tmpfs -o size="+size+" small /var/lib/kvmrun")
		r := m.importing(t, h, "--checksums", "auto", m.https+"/"+imageFile, "web")
		if r.ExitCode != 13 || !strings.Contains(r.Stderr, "free some space") {
			t.Errorf("%s: exit status %d", size, r.ExitCode)
		}
		if left := h.sh(t, "find /var/lib/kvmrun -type f -size +0"); left != "" {
			t.Errorf("%s: left are %s", size, left)
		}
		h.sh(t, "umount /var/lib/kvmrun")
	}
}

// A download is not lost when the import lacks a flag.
func TestImageFromURLSecondTry(t *testing.T) {
	t.Parallel()
	h := newHost(t)
	m := newMirror(t, h, nil)
	sum := strings.Fields(h.sh(t, "sha256sum /run/img/noise"))[0]
	h.sh(t, "qemu-img create -q -f qcow2 /run/img/other.qcow2 8M")
	h.must(t, "image", "import", "/run/img/other.qcow2", "web")
	args := []string{"--checksum", sum, m.https + "/disk.img", "web"}
	for _, try := range []struct {
		status int
		flags  []string
	}{{7, nil}, {4, []string{"--format", "raw"}}, {0, []string{"--format", "raw", "--replace"}}} {
		if r := m.importing(t, h, append(try.flags, args...)...); r.ExitCode != try.status {
			t.Errorf("%q: exit status %d, want %d", try.flags, r.ExitCode, try.status)
		}
	}
	if n := m.raw.Load(); n != 1 {
		t.Errorf("it was downloaded %d times", n)
	}
	if left := h.downloads(t); len(left) != 0 {
		t.Errorf("%q are left", left)
	}
}

// An import is killed in the middle. Several that want the same go on with what it
// has left, and share that.
func TestImageFromURLGoesOn(t *testing.T) {
	t.Parallel()
	h := newHost(t)
	m := newMirror(t, h, make(chan struct{}))
	args := []string{"image", "import", "--checksums", "auto", m.https + "/" + imageFile}
	first := h.Host.StartWith(t, lab.Run{Env: m.trust}, "kvmrun", append(args, "web")...)
	lab.Eventually(t, patience, func() error {
		for _, path := range h.downloads(t) {
			if info, err := os.Stat(path); err == nil && info.Size() > 1<<20 {
				return nil
			}
		}
		return fmt.Errorf("nothing has come: %q", h.downloads(t))
	})
	first.Signal(t, os.Kill)
	first.Wait(t, patience)
	if r := h.must(t, "image", "prune", "--dry-run"); !strings.Contains(r, ".partial") {
		t.Errorf("prune does not see what is left: %q", r)
	}
	var running []*lab.Process
	for i := range 4 {
		running = append(running, h.Host.StartWith(t, lab.Run{Env: m.trust}, "kvmrun", append(args, fmt.Sprintf("web%d", i))...))
	}
	for _, p := range running {
		if r := p.Wait(t, patience); r.ExitCode != 0 {
			t.Errorf("host%s", r)
		}
	}
	if m.resumed.Load() < 1 || m.asked.Load() != 1+m.resumed.Load() {
		t.Errorf("asked %d times, %d for the rest", m.asked.Load(), m.resumed.Load())
	}
	if left := h.downloads(t); len(left) != 0 {
		t.Errorf("%q are left", left)
	}
}
