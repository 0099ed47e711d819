package fetch

import (
	"errors"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestParseLocation(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ text, is, name string }{
		{"disk.qcow2", "disk.qcow2", "disk.qcow2"},
		{"../a/disk.qcow2", "../a/disk.qcow2", "disk.qcow2"},
		{"file:///a/b%20c.img", "/a/b c.img", "b c.img"},
		{"FILE://localhost/a", "/a", "a"},
		{"https://h/a/b%2fc%20d.img?x=1#f", "https://h/a/b%2fc%20d.img?x=1", "c d.img"},
		{"HTTP://u:secret@h/a", "http://u:xxxxx@h/a", "a"},
		{"https://h", "https://h", "/"},
	} {
		l, err := parseLocation(c.text)
		if err != nil || l.String() != c.is || l.name() != c.name {
			t.Errorf("%s: %q, named %q, %v", c.text, l, l.name(), err)
		}
	}
	for _, text := range []string{"", "ftp://h/a", "https:///a", "http://:80/a", "file://h/a", "file://", "://", "http://u:secret@h:port/", "http://h/\x7f"} {
		_, err := parseLocation(text)
		if !errors.Is(err, ErrLocation) || strings.Contains(err.Error(), "secret") {
			t.Errorf("%q: %v", text, err)
		}
	}
}

func TestBeside(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		"https://h/a/disk.img?x=1": "https://h/a/SUMS", "https://h/disk.img": "https://h/SUMS",
		"https://h/a%20b/disk.img": "https://h/a%20b/SUMS", "a/disk.img": "a/SUMS", "disk.img": "SUMS",
	} {
		l, err := parseLocation(text)
		if err != nil || l.beside("SUMS").String() != want {
			t.Errorf("%s: %q %v", text, l.beside("SUMS"), err)
		}
	}
}

var (
	hexA = strings.Repeat("a1", 32)
	hexB = strings.Repeat("b2", 32)
	hexC = strings.Repeat("c3", 64)
)

func TestParseDigest(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]Digest{
		"sha256:" + hexA: Digest("sha256:" + hexA), hexA: Digest("sha256:" + hexA), "SHA256:" + strings.ToUpper(hexA): Digest("sha256:" + hexA),
		"sha512:" + hexC: Digest("sha512:" + hexC), hexC: Digest("sha512:" + hexC),
	} {
		if d, err := ParseDigest(text); err != nil || d != want {
			t.Errorf("%s: %q %v", text, d, err)
		}
	}
	for _, text := range []string{"", "sha256:", "sha512:" + hexA, "sha256:" + hexC, "md5:d41d8cd98f00b204e9800998ecf8427e", hexA[:63] + "g", hexA + " ", ":" + hexA, strings.Repeat("\x1b", 200)} {
		if d, err := ParseDigest(text); !errors.Is(err, ErrDigest) || strings.Contains(err.Error(), "\x1b") {
			t.Errorf("%q: %q %v", text, d, err)
		}
	}
}

func TestParseSums(t *testing.T) {
	t.Parallel()
	a, b, c := Digest("sha256:"+hexA), Digest("sha256:"+hexB), Digest("sha512:"+hexC)
	for name, test := range map[string]struct {
		text string
		want []sum
	}{
		"GNU":     {hexA + "  disk.img\n" + strings.ToUpper(hexB) + " *./a b/other (1).img\r\n" + hexC + "  disk.img\n", []sum{{a, "disk.img"}, {b, "./a b/other (1).img"}, {c, "disk.img"}}},
		"BSD":     {"SHA256 (disk (1) = x.img) = " + hexA + "\nSHA512 (d) = " + hexC, []sum{{a, "disk (1) = x.img"}, {c, "d"}}},
		"openssl": {"SHA256(d)= " + hexA + "\nSHA2-256(e)= " + hexB + "\nSHA2-512(f)= " + hexC, []sum{{a, "d"}, {b, "e"}, {c, "f"}}},
		"escaped": {`\` + hexA + `  a\\b\nc` + "\n" + `\SHA256 (a\\b) = ` + hexB, []sum{{a, "a\\b\nc"}, {b, `a\b`}}},
		"alone":   {hexA + "\n", []sum{{a, ""}}},
		"spaces":  {hexA + "   a \n" + hexB + " b", []sum{{a, " a "}, {b, "b"}}},
		"others": {"# remark\n\nMD5 (d) = d41d8cd98f00b204e9800998ecf8427e\nSHA512 (d) = " + hexA + "\nSHA256 () = " + hexA + "\nSHA256 (d) " + hexA +
			"\nd41d8cd98f00b204e9800998ecf8427e  d\n" + hexA[:62] + "  d\n-----BEGIN PGP SIGNED MESSAGE-----\nHash: SHA256\n" + hexA + "  d\n" + hexA + " *\n", []sum{{a, "d"}}},
		"page": {"<!DOCTYPE html><html><body>404</body></html>", nil},
	} {
		if diff := cmp.Diff(test.want, parseSums([]byte(test.text)), cmp.AllowUnexported(sum{})); diff != "" {
			t.Errorf("%s: %s", name, diff)
		}
	}
}

func TestFind(t *testing.T) {
	t.Parallel()
	a, b, c := Digest("sha256:"+hexA), Digest("sha256:"+hexB), Digest("sha512:"+hexC)
	for name, test := range map[string]struct {
		sums []sum
		want Digest
	}{
		"its name":            {[]sum{{b, "other"}, {a, "disk.img"}}, a},
		"folders":             {[]sum{{b, "./arm64/disk.img"}, {a, "./amd64/disk.img"}}, a},
		"other folders":       {[]sum{{a, "x/disk.img"}}, a},
		"the better fit":      {[]sum{{b, "x/disk.img"}, {a, "disk.img"}, {b, "y/disk.img"}}, a},
		"the best fit":        {[]sum{{b, "disk.img"}, {a, "amd64/disk.img"}}, a},
		"both kinds":          {[]sum{{c, "disk.img"}, {a, "disk.img"}}, a},
		"sha512":              {[]sum{{c, "disk.img"}}, c},
		"twice the same":      {[]sum{{a, "disk.img"}, {a, "disk.img"}}, a},
		"several":             {[]sum{{a, "disk.img"}, {b, "disk.img"}}, ""},
		"several folders":     {[]sum{{a, "x/disk.img"}, {b, "y/disk.img"}}, ""},
		"none":                {[]sum{{a, "disk.img.xz"}, {b, "xdisk.img"}}, ""},
		"alone":               {[]sum{{a, ""}}, a},
		"alone beside others": {[]sum{{a, ""}, {b, "other"}}, ""},
		"nothing":             {nil, ""},
	} {
		wanted, err := parseLocation("https://h/images/amd64/disk.img")
		if err != nil {
			t.Fatal(err)
		}
		d, bad := find(test.sums, wanted)
		if d != test.want || (bad == nil) != (test.want != "") {
			t.Errorf("%s: %q %v", name, d, bad)
		}
	}
}

func TestParseContentRange(t *testing.T) {
	t.Parallel()
	for header, want := range map[string]span{
		"bytes 0-9/10": {0, 9, 10}, "Bytes  5-9/*": {5, 9, -1}, "bytes */10": {-1, -1, 10},
		"bytes 9223372036854775806-9223372036854775806/9223372036854775807": {1<<63 - 2, 1<<63 - 2, 1<<63 - 1},
	} {
		if s, ok := parseContentRange(header); !ok || s != want {
			t.Errorf("%s: %v %v", header, s, ok)
		}
	}
	for _, header := range []string{"", "bytes", "bytes 0-9", "items 0-9/10", "bytes 9-0/10", "bytes 0-10/10", "bytes -1-9/10", "bytes +0-9/10",
		"bytes */*", "bytes 0-/10", "bytes 0-9/", "bytes -/10", "bytes 0-9/9223372036854775808", "bytes 0-9/10/11", "bytes 0 - 9/10"} {
		if s, ok := parseContentRange(header); ok {
			t.Errorf("%q: %v", header, s)
		}
	}
}
