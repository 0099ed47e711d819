package e2e

import (
	"bytes"
	"crypto/rand"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// copyFiles copies files into the guest and out of it.
func (h *host) copyFiles(t *testing.T, way string) {
	dir := t.TempDir()
	in := filepath.Join(dir, "in dir")
	content := make([]byte, 1<<20)
	_, _ = rand.Read(content)
	for name, mode := range map[string]os.FileMode{"big": 0o640, "sub/run": 0o755, "sub/deep/x": 0o400} {
		path := filepath.Join(in, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, content, mode); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Symlink("sub/run", filepath.Join(in, "link")); err != nil {
		t.Fatal(err)
	}
	cp := func(from, to string) { t.Helper(); h.must(t, "cp", "--by", way, from, to) }
	guest := func(script string) string {
		t.Helper()
		r := h.exec(t, "--by", way, "web", "--", "sh", "-c", script)
		if r.ExitCode != 0 {
			t.Errorf("%s: %s", script, r)
		}
		return r.Stdout
	}
	there := fmt.Sprintf("/tmp/by %s", way)
	guest("mkdir '" + there + "'")
	cp(in, "web:"+there)            // into a folder
	cp(in+"/big", "web:"+there+"/") // into a folder
	cp(in+"/sub/run", "web:"+there+"/new")
	cp(in+"/link", "web:"+there+"/new") // in place of a file, from what a link leads to
	if got, want := guest("cd '"+there+"'; stat -c '%a %s %n' big new 'in dir/sub/deep/x'; readlink 'in dir/link'; ls -a | grep kvmrun; true"),
		"640 1048576 big\n755 1048576 new\n400 1048576 in dir/sub/deep/x\nsub/run\n"; got != want {
		t.Errorf("in the guest there is\n%swant\n%s", got, want)
	}
	out := filepath.Join(dir, "out")
	cp("web:"+there+"/in dir", out)
	cp("web:"+there+"/in dir", out) // into the folder that there is now
	for _, d := range []string{out, filepath.Join(out, "in dir")} {
		if text, err := exec.Command("diff", "-r", "--no-dereference", "--exclude=in dir", in, d).CombinedOutput(); err != nil {
			t.Errorf("%s came back otherwise: %v\n%s", d, err, text)
		}
	}
	guest("ln -s big '" + there + "/alias'")
	cp("web:"+there+"/alias", dir)
	if got, err := os.ReadFile(filepath.Join(dir, "alias")); err != nil || !bytes.Equal(got, content) {
		t.Errorf("what a link in the guest leads to: %d bytes, %v", len(got), err)
	}
	if message := h.fails(t, 20, "cp", "--by", way, "web:/nonesuch", dir+"/x"); !strings.Contains(message, "/nonesuch: no such file") {
		t.Errorf("from nowhere: %s", message)
	}
	if message := h.fails(t, 1, "cp", "--by", way, "web:/dev/null", dir+"/x"); !strings.Contains(message, "neither a file nor a folder") {
		t.Errorf("a device: %s", message)
	}
	if message := h.fails(t, 20, "cp", "--by", way, in, "web:/nonesuch/x"); !strings.Contains(message, "/nonesuch: no such folder") {
		t.Errorf("into no folder: %s", message)
	}
	h.fails(t, 2, "cp", "--by", way, dir+"/nonesuch", "web:/tmp")
	h.fails(t, 2, "cp", in, dir)
	h.fails(t, 3, "cp", in, "nonesuch:/tmp")
	guest("rm -r '" + there + "'")
}
