package fetch

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
)

// disk is a content with islands in a sea of zeros, and one byte at the end.
func disk(size int) []byte {
	b := make([]byte, size)
	for at := 0; at+1000 < size; at += size / 5 {
		copy(b[at+1000:], noise(50_000))
	}
	b[size-1] = 1
	return b
}

// archive packs by a program.
func archive(t *testing.T, how string, content []byte) []byte {
	t.Helper()
	words := strings.Fields(how)
	return tool(t, content, words[0], words[1:]...)
}

// packers are programs that pack, and the name of what they make.
var packers = []struct{ how, ending, packing string }{
	{"xz -c -T1", ".xz", "xz"}, {"xz -c -0 --check=sha256 --block-size=300000", ".xz", "xz"}, {"xz -c -9e --check=none", ".xz", "xz"},
	{"xz -c -T2 -1", ".xz", "xz"}, {"zstd -q -c", ".zst", "zstd"}, {"zstd -q -c --long=27 -19 --no-check", ".zst", "zstd"},
	{"gzip -c", ".GZ", "gzip"}, {"bzip2 -c", ".bz2", "bzip2"},
}

func TestUnpack(t *testing.T) {
	t.Parallel()
	for _, content := range [][]byte{disk(1 << 20), noise(100_000), nil, make([]byte, 200_000)} {
		for _, p := range packers {
			packed := archive(t, p.how, content)
			f := mustGet(t, t.TempDir(), Source{Location: writeFile(t, t.TempDir()+"/disk.raw"+p.ending, packed)}, quick, content)
			if f.Name != "disk.raw" || f.Packing != p.packing || f.SourceDigest != sha256Of(packed) {
				t.Errorf("%s: %+v", p.how, f)
			}
		}
	}
}

// Archives may be one after another.
func TestUnpackSeveral(t *testing.T) {
	t.Parallel()
	a, b := noise(100_000), disk(1<<20)
	for _, p := range packers {
		packed := slices.Concat(archive(t, p.how, a), archive(t, p.how, b))
		if p.packing == "xz" {
			packed = slices.Concat(archive(t, p.how, a), make([]byte, 8), archive(t, p.how, b), make([]byte, 4))
		}
		mustGet(t, t.TempDir(), Source{Location: writeFile(t, t.TempDir()+"/disk", packed)}, quick, slices.Concat(a, b))
	}
}

func TestUnpackDownloaded(t *testing.T) {
	t.Parallel()
	content := disk(5 << 20)
	packed := archive(t, "xz -c", content)
	server := serve(t, whole(packed))
	dir := t.TempDir()
	s := Source{Location: server.URL + "/disk.raw.xz", Digest: sha512Of(packed)}
	f := mustGet(t, dir, s, quick, content)
	if f.Name != "disk.raw" || f.Packing != "xz" || f.SourceDigest != sha512Of(packed) {
		t.Errorf("%+v", f)
	}
	if Packed(dir, quick) || Packed(dir+"/none", quick) {
		t.Error("a folder is packed")
	}
	asIs := quick
	asIs.AsIs = true
	if f := mustGet(t, dir, s, asIs, packed); f.Name != "disk.raw.xz" || f.Packing != "" {
		t.Errorf("%+v", f)
	}
}

// A decompressor that stops before the end of what it was given leaves bytes that
// nobody has looked at.
func TestUnpackReadsAll(t *testing.T) {
	t.Parallel()
	early := packing{name: "early", unpack: func(r io.Reader) (io.Reader, func(), error) { return io.LimitReader(r, 2), nothing, nil }}
	g := getter{options: quick.complete()}
	if err := g.unpack(strings.NewReader("more"), early, io.Discard); !errors.Is(err, errTail) {
		t.Error(err)
	}
	if err := g.unpack(strings.NewReader("mo"), early, io.Discard); err != nil {
		t.Error(err)
	}
}

// What is zero takes no place on the disk.
func TestHoles(t *testing.T) {
	t.Parallel()
	content := disk(20 << 20)
	for _, ending := range []string{"", ".zst"} {
		path := writeFile(t, t.TempDir()+"/disk"+ending, content)
		if ending != "" {
			writeFile(t, path, archive(t, "zstd -q -c", content))
		}
		f, err := Get(t.Context(), t.TempDir(), Source{Location: path}, quick)
		if err != nil {
			t.Fatal(err)
		}
		info, err := f.Stat()
		if err != nil {
			t.Fatal(err)
		}
		_ = f.Close()
		taken := info.Sys().(*syscall.Stat_t).Blocks * 512
		if taken < 5*50_000 || taken > 5*60_000+64<<10 || info.Size() != int64(len(content)) {
			t.Errorf("%s: %d bytes take %d", ending, info.Size(), taken)
		}
	}
}

// Wherever an archive is cut, that shows; and whichever bit of one with a
// checksum is turned, that shows or does no harm.
func TestEveryDamage(t *testing.T) {
	t.Parallel()
	content := slices.Concat(noise(20), make([]byte, 5000), noise(10))
	dir := t.TempDir()
	for _, p := range packers {
		if strings.Contains(p.how, "-9e") || strings.Contains(p.how, "-T2") {
			continue // these differ from others in size alone
		}
		packed := archive(t, p.how, content)
		path := t.TempDir() + "/disk"
		for size := 10; size < len(packed); size++ {
			f, err := Get(t.Context(), dir, Source{Location: writeFile(t, path, packed[:size])}, quick)
			if !errors.Is(err, ErrArchive) {
				t.Errorf("%s, cut from %d to %d: %v %v", p.how, len(packed), size, f, err)
			}
		}
		if strings.Contains(p.how, "check=none") || strings.Contains(p.how, "no-check") {
			continue
		}
		for bit := 80; bit < 8*len(packed); bit += 13 {
			packed[bit/8] ^= 1 << (bit % 8)
			got, _, err := get(t, dir, Source{Location: writeFile(t, path, packed)}, quick)
			packed[bit/8] ^= 1 << (bit % 8)
			if err == nil && !bytes.Equal(got, content) || err != nil && !errors.Is(err, ErrArchive) && !errors.Is(err, ErrSize) {
				t.Errorf("%s, bit %d of %d turned: %v", p.how, bit, 8*len(packed), err)
			}
		}
	}
}

func TestDamagedArchives(t *testing.T) {
	t.Parallel()
	content := disk(1 << 20)
	for _, p := range packers {
		packed := archive(t, p.how, content)
		dir := t.TempDir()
		try := func(what string, packed []byte, words ...string) {
			t.Helper()
			path := writeFile(t, t.TempDir()+"/disk", packed)
			t.Logf("%s, %s", p.how, what)
			mustFail(t, dir, Source{Location: path}, quick, ErrArchive, append(words, p.packing)...)
		}
		for _, size := range []int{20, len(packed) / 2, len(packed) - 1} {
			try(fmt.Sprint("cut at ", size), packed[:size], "too early")
		}
		try("with a tail", slices.Concat(packed, []byte("a tail that is none")))
		if strings.Contains(p.how, "check=none") || strings.Contains(p.how, "no-check") {
			continue // what has no checksum may be spoilt unseen
		}
		spoilt := bytes.Clone(packed)
		spoilt[len(spoilt)/2] ^= 0x10
		try("spoilt", spoilt)
		wantEmpty(t, dir)
	}
}

// A few bytes can stand for very many.
func TestBombs(t *testing.T) {
	t.Parallel()
	o := quick
	o.MaxUnpacked = 1 << 20
	for _, p := range packers {
		dir := t.TempDir()
		fits := archive(t, p.how, make([]byte, 1<<20))
		mustGet(t, dir, Source{Location: writeFile(t, t.TempDir()+"/disk", fits)}, o, make([]byte, 1<<20))
		bomb := archive(t, p.how, make([]byte, 1<<20+1))
		mustFail(t, dir, Source{Location: writeFile(t, t.TempDir()+"/disk", bomb)}, o, ErrSize, "1024 KiB")
		wantEmpty(t, dir)
	}
}

// An archive's header can ask for gigabytes of memory.
func TestGreedyArchives(t *testing.T) {
	t.Parallel()
	content := noise(1000)
	small := archive(t, "xz -c", content)
	for _, greedy := range [][]byte{
		archive(t, "xz -c --lzma2=dict=192MiB", content), slices.Concat(small, archive(t, "xz -c --lzma2=dict=1GiB", content)),
	} {
		mustFail(t, t.TempDir(), Source{Location: writeFile(t, t.TempDir()+"/disk", greedy)}, quick, ErrArchive, "memory", "unxz")
	}
	zstd := archive(t, "zstd -q -c --long=28 --ultra -20", make([]byte, 300<<20))
	mustFail(t, t.TempDir(), Source{Location: writeFile(t, t.TempDir()+"/disk", zstd)}, quick, ErrArchive, "window")
	filter := archive(t, "xz -c --x86 --lzma2", content)
	mustFail(t, t.TempDir(), Source{Location: writeFile(t, t.TempDir()+"/disk", filter)}, quick, ErrArchive, "filter")
}

// A raw disk is what a guest has made of it: its first bytes say nothing.
func TestUnpackAsNamed(t *testing.T) {
	t.Parallel()
	content := noise(1000)
	packed := archive(t, "xz -c", content)
	dir := t.TempDir()
	named := quick
	named.AsNamed = true
	for name, want := range map[string][]byte{"disk.raw.xz": content, "disk.XZ": content, "disk.raw": packed, "disk.gz": packed, ".xz": packed} {
		path := writeFile(t, filepath.Join(t.TempDir(), name), packed)
		mustGet(t, dir, Source{Location: path}, named, want)
		if Packed(path, named) != bytes.Equal(want, content) || !Packed(path, quick) {
			t.Errorf("%s: is packed by name: %v", name, Packed(path, named))
		}
	}
}

func TestRecognise(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		"\xfd7zXZ\x00": "xz", "\x28\xb5\x2f\xfd": "zstd", "\x1f\x8b\x08": "gzip", "BZh91AY&SY": "bzip2", "BZh1\x17\x72\x45\x38\x50\x90": "bzip2",
		"": "", "BZh": "", "BZh01AY&SY": "", "BZh9 is a word": "", "QFI\xfb": "", "\x1f\x8b": "", "\xfd7zXZ": "",
	} {
		if got := recognise([]byte(text)).name; got != want {
			t.Errorf("%q is %q", text, got)
		}
	}
}

func TestLocal(t *testing.T) {
	t.Parallel()
	content := disk(1 << 20)
	path := writeFile(t, filepath.Join(t.TempDir(), "a b.img"), content)
	dir := t.TempDir()
	for _, s := range []Source{
		{Location: path}, {Location: "file://" + strings.ReplaceAll(path, " ", "%20")}, {Location: path, Digest: sha256Of(content)}, {Location: path, Digest: sha512Of(content)},
	} {
		f := mustGet(t, dir, s, quick, content)
		if f.Name != "a b.img" || (s.Digest != "" && f.SourceDigest != s.Digest) || (s.Digest == "" && f.SourceDigest != sha256Of(content)) {
			t.Errorf("%+v", f)
		}
	}
	writeFile(t, filepath.Join(filepath.Dir(path), "SHA256SUMS"), []byte(sha256Of(content).Hex()+"  a b.img\n"))
	mustGet(t, dir, Source{Location: path, Sums: Auto}, quick, content)
	mustFail(t, dir, Source{Location: path, Digest: Digest("sha256:" + hexA)}, quick, ErrChecksum, path)
	mustFail(t, dir, Source{Location: path + "x"}, quick, ErrNotFound, path)
	mustFail(t, dir, Source{Location: path + "/x"}, quick, ErrNotFound)
	mustFail(t, dir, Source{Location: dir}, quick, ErrRead, "plain file")
	pipe := filepath.Join(dir, "pipe")
	if err := syscall.Mkfifo(pipe, 0o600); err != nil {
		t.Fatal(err)
	}
	mustFail(t, dir, Source{Location: pipe}, quick, ErrRead, "plain file")
	if err := os.Remove(pipe); err != nil {
		t.Fatal(err)
	}
	if _, err := Get(ended(), dir, Source{Location: path}, quick); err == nil || err.Error() != "context canceled" {
		t.Error(err)
	}
	wantEmpty(t, dir)
}
