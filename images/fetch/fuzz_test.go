package fetch

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os/exec"
	"path"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/ulikunitz/xz"
)

// FuzzSums: whatever a file of checksums says, what is taken from it for a file
// stands in it, in a line with the file's name or as its only word.
func FuzzSums(f *testing.F) {
	f.Add([]byte(hexA+"  disk.img\n"+hexB+" *other.img\n"), "disk.img")
	f.Add([]byte("SHA256 (disk.img) = "+hexA+"\nSHA512 (disk.img) = "+hexC+"\n"), "disk.img")
	f.Add([]byte(`\`+hexA+`  a\\b\n`), `a\b`+"\n")
	f.Add([]byte("SHA2-256(x/disk.img)= "+hexA), "x/disk.img")
	f.Add([]byte(hexC), "disk.img")
	f.Fuzz(func(t *testing.T, text []byte, name string) {
		all := parseSums(text)
		for _, s := range all {
			if d, err := ParseDigest(string(s.digest)); err != nil || d != s.digest {
				t.Fatalf("a digest that is none: %q", s.digest)
			}
		}
		d, bad := find(all, location{path: name})
		if (d == "") != (bad != nil) {
			t.Fatalf("%q and %v", d, bad)
		}
		if bad != nil {
			return
		}
		if !bytes.Contains(bytes.ToLower(text), []byte(d.Hex())) {
			t.Fatalf("%q does not stand there", d)
		}
		for _, s := range all {
			if s.digest == d && (s.name == "" && len(all) == 1 || path.Base(s.name) == location{path: name}.name()) {
				return
			}
		}
		t.Fatalf("%q is not that of %q", d, name)
	})
}

// FuzzSumsWritten: what sha256sum or BSD's program writes for a name is found.
func FuzzSumsWritten(f *testing.F) {
	f.Add("disk.img", "other")
	f.Add("a (1) = b", "")
	f.Add("0", "0 ")
	f.Fuzz(func(t *testing.T, name, other string) {
		base := path.Base(name)
		if strings.ContainsAny(name+other, "\n\r\\\x00/") || base != name || name == "." || name == ".." || path.Base(other) == base {
			return
		}
		for _, form := range []string{"%[1]s  %[2]s\n%[3]s  %[4]s\n", "%[1]s *%[2]s\n", "SHA256 (%[2]s) = %[1]s\nSHA256 (%[4]s) = %[3]s\n"} {
			text := fmt.Sprintf(form, hexA, name, hexB, other)
			if d, bad := find(parseSums([]byte(text)), location{path: "/x/" + name}); d.Hex() != hexA {
				t.Fatalf("%q: %q %v", text, d, bad)
			}
		}
	})
}

// FuzzContentRange: what is accepted makes sense, and is what it says.
func FuzzContentRange(f *testing.F) {
	for _, seed := range []string{"bytes 0-9/10", "bytes 5-9/*", "bytes */10", "bytes 0-10/10", "items 0-9/10", "bytes 0-9/9223372036854775808"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, header string) {
		s, ok := parseContentRange(header)
		if !ok {
			return
		}
		if s.first < 0 && (s.first != -1 || s.last != -1 || s.total < 0) || s.first > s.last || s.total >= 0 && s.last >= s.total {
			t.Fatalf("%q: %+v", header, s)
		}
		total, ends := "*", "*"
		if s.total >= 0 {
			total = fmt.Sprint(s.total)
		}
		if s.first >= 0 {
			ends = fmt.Sprintf("%d-%d", s.first, s.last)
		}
		if again, ok := parseContentRange("bytes " + ends + "/" + total); !ok || again != s {
			t.Fatalf("%q: %+v, and again %+v", header, s, again)
		}
	})
}

// FuzzXZGuard: it lets through every archive that the decompressor and xz unpack,
// but for those that are refused on purpose or cut, and never changes a byte. The
// decompressor alone is no judge: it takes an LZMA2 chunk that ends before the size in
// its header is reached.
func FuzzXZGuard(f *testing.F) {
	for _, content := range [][]byte{nil, []byte("kvmrun"), bytes.Repeat([]byte{0}, 3000)} {
		var packed bytes.Buffer
		w, err := xz.NewWriter(&packed)
		if err == nil {
			_, _ = w.Write(content)
			err = w.Close()
		}
		if err != nil {
			f.Fatal(err)
		}
		f.Add(packed.Bytes())
		f.Add(append(append(packed.Bytes(), 0, 0, 0, 0), packed.Bytes()...))
	}
	f.Fuzz(func(t *testing.T, packed []byte) {
		guard := newXZGuard(iotest.OneByteReader(bytes.NewReader(packed)))
		seen, err := io.ReadAll(guard)
		if !bytes.Equal(seen, packed[:len(seen)]) {
			t.Fatal("it changes bytes")
		}
		if err == nil {
			return // the decompressor is safe with it, and has its own tests
		}
		var refused *Error
		if errors.As(err, &refused) || errors.Is(err, errFilter) || errors.Is(err, io.ErrUnexpectedEOF) {
			return
		}
		r, opened := xz.NewReader(bytes.NewReader(packed))
		if opened != nil {
			return
		}
		const limit = 1 << 20
		if n, failed := io.Copy(io.Discard, io.LimitReader(r, limit)); failed != nil || n == limit {
			return
		}
		judge := exec.Command("xz", "--test")
		judge.Stdin = bytes.NewReader(packed)
		var exit *exec.ExitError
		if said := judge.Run(); said == nil {
			t.Fatalf("refused with %v what can be unpacked", err)
		} else if !errors.As(said, &exit) {
			t.Fatal(said) // there is no xz
		}
	})
}
