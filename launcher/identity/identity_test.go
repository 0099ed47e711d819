package identity

import (
	"bytes"
	"errors"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
)

// TestOpen has many make the secret at once: they end with the same.
func TestOpen(t *testing.T) {
	dir := t.TempDir()
	if _, err := Read(dir); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("reading where there is none: %v", err)
	}
	found := make([]Identity, 20)
	var all sync.WaitGroup
	for i := range found {
		all.Go(func() {
			var err error
			if found[i], err = Open(dir); err != nil {
				t.Error(err)
			}
		})
	}
	all.Wait()
	for _, id := range found {
		if !bytes.Equal(id.secret, found[0].secret) || len(id.secret) != secretSize {
			t.Fatalf("secrets differ: %x and %x", found[0].secret, id.secret)
		}
	}
	entries, err := os.ReadDir(dir)
	if err != nil || len(entries) != 1 {
		t.Errorf("in the directory: %v, %v", entries, err)
	}
	if info, err := os.Stat(filepath.Join(dir, secretFile)); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("its mode: %v, %v", info.Mode(), err)
	}
}

func TestOpenOther(t *testing.T) {
	for _, text := range []string{"", "kvmrun-identity-1 abcd\n", "kvmrun-identity-2 " + strings.Repeat("00", 32) + "\n", strings.Repeat("00", 32)} {
		dir := t.TempDir()
		if err := os.WriteFile(filepath.Join(dir, secretFile), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if id, err := Open(dir); err == nil {
			t.Errorf("%q is taken for %x", text, id.secret)
		}
		if now, _ := os.ReadFile(filepath.Join(dir, secretFile)); string(now) != text {
			t.Errorf("%q has become %q", text, now)
		}
	}
	if _, err := Open(t.TempDir() + "/none"); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("a directory that is not there: %v", err)
	}
}

// TestKeys asks OpenSSH itself what the keys are.
func TestKeys(t *testing.T) {
	id := Identity{bytes.Repeat([]byte{7}, secretSize)}
	other := Identity{bytes.Repeat([]byte{8}, secretSize)}
	keys := map[string]Key{"web": id.HostKey("web"), "db": id.HostKey("db"), "login": id.LoginKey(), "other": other.HostKey("web"), "empty": id.HostKey("")}
	if id.HostKey("web").Public != keys["web"].Public {
		t.Error("the same name has two keys")
	}
	seen := map[string]string{}
	for name, key := range keys {
		blob := strings.Fields(key.Public)[1]
		if twin := seen[blob]; twin != "" {
			t.Errorf("%s and %s have the same key", name, twin)
		}
		seen[blob] = name
		path := filepath.Join(t.TempDir(), "key")
		if err := os.WriteFile(path, []byte(key.Private), 0o600); err != nil {
			t.Fatal(err)
		}
		out, err := exec.Command("ssh-keygen", "-y", "-P", "", "-f", path).Output()
		if err != nil || strings.TrimSpace(string(out)) != strings.TrimSpace(key.Public) {
			t.Errorf("%s: ssh-keygen says %q, %v; want %q", name, out, err, key.Public)
		}
	}
}
