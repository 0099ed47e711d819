package launcher

import (
	"archive/tar"
	"bytes"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

// archive makes one of headers; a file's content is its name.
func archive(t testing.TB, headers ...tar.Header) []byte {
	t.Helper()
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	for _, h := range headers {
		if h.Typeflag == tar.TypeReg {
			h.Size = int64(len(h.Name))
		}
		if err := w.WriteHeader(&h); err != nil {
			t.Fatal(err)
		}
		if h.Typeflag == tar.TypeReg {
			_, _ = io.WriteString(w, h.Name)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func dirOf(name string) tar.Header {
	return tar.Header{Name: name, Typeflag: tar.TypeDir, Mode: 0o755}
}
func fileOf(name string, mode int64) tar.Header {
	return tar.Header{Name: name, Typeflag: tar.TypeReg, Mode: mode}
}
func linkOf(name, to string) tar.Header {
	return tar.Header{Name: name, Typeflag: tar.TypeSymlink, Linkname: to, Mode: 0o777}
}

// tree lists what is in a folder: names, modes, contents.
func tree(t testing.TB, dir string) (list []string) {
	t.Helper()
	err := filepath.WalkDir(dir, func(path string, e fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		rel, _ := filepath.Rel(dir, path)
		info, err := e.Info()
		if err != nil {
			return err
		}
		text, line := []byte(nil), rel+" "+info.Mode().String()
		switch {
		case e.Type() == fs.ModeSymlink:
			to, _ := os.Readlink(path)
			line += " -> " + to
		case e.Type().IsRegular():
			text, err = os.ReadFile(path)
			line += " " + string(text)
		}
		list = append(list, line)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return list
}

func discard(string, ...any) {}
func nobody(int64)           {}

// Packed and unpacked again, a folder is what it was.
func TestPackAndUnpack(t *testing.T) {
	from := filepath.Join(t.TempDir(), "from")
	long := strings.Repeat("long", 60)
	for name, mode := range map[string]fs.FileMode{"a": 0o640, "b/c": 0o755, "b/empty/x": 0o400, long + "/" + long: 0o600} {
		path := filepath.Join(from, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(name), mode); err != nil {
			t.Fatal(err)
		}
	}
	for link, to := range map[string]string{"l": "b/c", "b/away": "/etc/passwd"} {
		if err := os.Symlink(to, filepath.Join(from, link)); err != nil {
			t.Fatal(err)
		}
	}
	when := time.Unix(1e9, 0)
	for _, name := range []string{"a", "b"} {
		if err := os.Chtimes(filepath.Join(from, name), when, when); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Chmod(filepath.Join(from, "b/empty"), 0o550); err != nil {
		t.Fatal(err)
	}
	var b bytes.Buffer
	var counted int64
	if err := pack(&b, from, "from", func(n int64) { counted += n }); err != nil {
		t.Fatal(err)
	}
	if counted != sizeOf(from) {
		t.Errorf("%d bytes are counted of %d", counted, sizeOf(from))
	}
	to := filepath.Join(t.TempDir(), "to")
	for range 2 { // the second time in its own place
		if err := unpack(bytes.NewReader(b.Bytes()), to, nobody, discard); err != nil {
			t.Fatal(err)
		}
		if got, want := tree(t, to), tree(t, from); !slices.Equal(got, want) {
			t.Errorf("it is\n%s\nand was\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
		}
	}
	for _, name := range []string{"a", "b"} {
		if info, err := os.Stat(filepath.Join(to, name)); err != nil || !info.ModTime().Equal(when) {
			t.Errorf("%s is of %v", name, info.ModTime())
		}
	}
}

func TestPackRefuses(t *testing.T) {
	dir := t.TempDir()
	if out := pack(io.Discard, filepath.Join(dir, "nonesuch"), "x", nobody); out == nil {
		t.Error("what is not there is packed")
	}
	if out := pack(io.Discard, "/dev/null", "x", nobody); out == nil {
		t.Error("a device is packed")
	}
}

// What a guest sends stays where it was wanted, and gets no rights.
func TestHostileArchives(t *testing.T) {
	for name, c := range map[string]struct {
		archive []byte
		want    []string // below dst, if that is there then
		ok      bool
	}{
		"empty":           {archive(t), nil, false},
		"no archive":      {[]byte("hello"), nil, false},
		"setuid":          {archive(t, fileOf("top", 0o6755)), []string{". -rwxr-xr-x top"}, true},
		"a name above":    {archive(t, fileOf("../top", 0o644)), nil, false},
		"a path":          {archive(t, fileOf("/etc/top", 0o644)), nil, false},
		"elsewhere":       {archive(t, dirOf("top"), fileOf("other/x", 0o644)), []string{". drwxr-xr-x"}, false},
		"up from below":   {archive(t, dirOf("top"), fileOf("top/../../x", 0o644)), []string{". drwxr-xr-x"}, false},
		"a second top":    {archive(t, dirOf("top"), dirOf("top")), []string{". drwxr-xr-x"}, false},
		"below a file":    {archive(t, fileOf("top", 0o644), fileOf("top/x", 0o644)), []string{". -rw-r--r-- top"}, false},
		"a link at top":   {archive(t, linkOf("top", "/etc")), nil, false},
		"through a link":  {archive(t, dirOf("top"), linkOf("top/l", "../outside"), fileOf("top/l/x", 0o644)), []string{". drwxr-xr-x", "l Lrwxrwxrwx -> ../outside"}, false},
		"over a link":     {archive(t, dirOf("top"), linkOf("top/l", "../outside/file"), fileOf("top/l", 0o644)), []string{". drwxr-xr-x", "l -rw-r--r-- top/l"}, true},
		"a hard link out": {archive(t, dirOf("top"), tar.Header{Name: "top/h", Typeflag: tar.TypeLink, Linkname: "top/../../outside/file"}), []string{". drwxr-xr-x"}, false},
		"a hard link by a link": {archive(t, dirOf("top"), linkOf("top/l", "../outside"),
			tar.Header{Name: "top/h", Typeflag: tar.TypeLink, Linkname: "top/l/file"}), []string{". drwxr-xr-x", "l Lrwxrwxrwx -> ../outside"}, false},
		"a hard link":   {archive(t, dirOf("top"), fileOf("top/a", 0o644), tar.Header{Name: "top/h", Typeflag: tar.TypeLink, Linkname: "top/a"}), []string{". drwxr-xr-x", "a -rw-r--r-- top/a", "h -rw-r--r-- top/a"}, true},
		"a device":      {archive(t, dirOf("top"), tar.Header{Name: "top/d", Typeflag: tar.TypeChar, Mode: 0o666}), []string{". drwxr-xr-x"}, true},
		"a device, top": {archive(t, tar.Header{Name: "top", Typeflag: tar.TypeBlock, Mode: 0o666}), nil, false},
		"cut":           {archive(t, dirOf("top"), fileOf("top/a", 0o644))[:1027], []string{". drwxr-xr-x"}, false},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			outside := filepath.Join(dir, "outside")
			if err := os.Mkdir(outside, 0o755); err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(filepath.Join(outside, "file"), []byte("mine"), 0o600); err != nil {
				t.Fatal(err)
			}
			before := tree(t, outside)
			dst := filepath.Join(dir, "dst")
			err := unpack(bytes.NewReader(c.archive), dst, nobody, discard)
			if (err == nil) != c.ok {
				t.Errorf("error %v", err)
			}
			if after := tree(t, outside); !slices.Equal(after, before) {
				t.Errorf("what lies elsewhere is %q, and was %q", after, before)
			}
			var got []string
			if _, err := os.Lstat(dst); err == nil {
				got = tree(t, dst)
			}
			if !slices.Equal(got, c.want) {
				t.Errorf("there is %q, want %q", got, c.want)
			}
			if entries, _ := os.ReadDir(dir); len(entries) > 2 {
				t.Errorf("left over: %v", entries)
			}
		})
	}
}

// FuzzUnpack: whatever the archive, nothing outside is touched.
func FuzzUnpack(f *testing.F) {
	f.Add(archive(f, dirOf("top"), linkOf("top/l", "../outside"), fileOf("top/l/x", 0o644)))
	f.Add(archive(f, dirOf("."), fileOf("./a", 0o600), linkOf("./b", "a")))
	f.Add(archive(f, fileOf("top", 0o4755)))
	f.Add(archive(f, dirOf("top"), dirOf("top/d"), tar.Header{Name: "top/d/h", Typeflag: tar.TypeLink, Linkname: "top/d"}))
	f.Fuzz(func(t *testing.T, text []byte) {
		dir := t.TempDir()
		if err := os.WriteFile(filepath.Join(dir, "outside"), []byte("mine"), 0o600); err != nil {
			t.Fatal(err)
		}
		_ = unpack(bytes.NewReader(text), filepath.Join(dir, "dst"), nobody, discard)
		entries, err := os.ReadDir(dir)
		if err != nil || len(entries) > 2 || entries[len(entries)-1].Name() != "outside" {
			t.Fatalf("%v, %v", entries, err)
		}
		if got := tree(t, filepath.Join(dir, "outside")); len(got) != 1 || got[0] != ". -rw------- mine" {
			t.Fatalf("%q", got)
		}
	})
}
