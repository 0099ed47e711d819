package store

import (
	"path/filepath"
	"strings"
	"testing"
)

// FuzzRecord: a record that is accepted is the name's own, and leads to a file in
// the folder of blobs and nowhere else.
func FuzzRecord(f *testing.F) {
	const whole = `{"version": 1, "name": "web", "digest": "sha256:` +
		`0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef", "virtual_size": 512,
		"source": {"from": "/srv/web.raw", "format": "raw"}, "imported": "2026-11-24T12:00:00Z"}`
	for _, text := range []string{
		whole, strings.Replace(whole, `"version": 1`, `"version": 2`, 1), strings.Replace(whole, "512", "-512", 1),
		strings.Replace(whole, "0123", "../x", 1), strings.Replace(whole, `"web"`, `"../web"`, 1), "", "{}", "null", "[]",
	} {
		f.Add("web", []byte(text))
	}
	s := New("/images", Options{})
	f.Fuzz(func(t *testing.T, name string, text []byte) {
		r, err := parseRecord(name, text)
		if err != nil {
			if err.Error() == "" {
				t.Fatal("refused without a word")
			}
			return
		}
		path := s.blob(r.Digest)
		if r.Name != name || r.VirtualSize <= 0 || filepath.Dir(path) != "/images/blobs" || filepath.Clean(path) != path {
			t.Fatalf("accepted as %+v, at %s", r, path)
		}
		if d, ok := digestOfPath(path); !ok || d != r.Digest {
			t.Fatalf("%s is the blob of %q", path, d)
		}
	})
}

// FuzzWords: whatever qemu-img says, what is shown of it has an end, and progress
// stays within its bounds.
func FuzzWords(f *testing.F) {
	f.Add("    (0.00/100%)\r    (100.00/100%)\r\n", int64(1<<40))
	f.Add("(NaN/100%)(-1/100%)(1e300/100%)", int64(512))
	f.Add(`qemu-img: Could not open 'json:{"driver": "vmdk"}': Image is corrupt`, int64(0))
	f.Fuzz(func(t *testing.T, text string, total int64) {
		if total < 0 {
			return
		}
		p := &percent{total: total, tell: func(done, total int64) {
			if done < 0 || done > total {
				t.Fatalf("%d of %d", done, total)
			}
		}}
		if n, err := p.Write([]byte(text)); n != len(text) || err != nil {
			t.Fatal(n, err)
		}
		said := &tail{}
		if n, err := said.Write([]byte(text)); n != len(text) || err != nil || len(said.text) > maxWords {
			t.Fatal(n, err, len(said.text))
		}
		if strings.Contains(explain(string(said.text)), "\n") {
			t.Fatalf("several lines: %q", explain(string(said.text)))
		}
	})
}
