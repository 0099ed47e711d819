package main

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"kvmrun/images/store"
)

// An empty store is one without images, not an error, and a list is a list.
func TestImagesOfAnEmptyStore(t *testing.T) {
	dirs := []string{"--run-dir", t.TempDir(), "--data-dir", filepath.Join(t.TempDir(), "data")}
	for line, want := range map[string]string{
		"ls": "NAME  DISK  TAKES  IMPORTED  DIGEST  USED BY  FROM\n", "ls -q": "", "ls --json": "[]\n",
		"prune": "", "prune --json": "[]\n", "verify": "", "verify --json": "[]\n",
	} {
		status, out, errs := capture(t, append(append([]string{"image"}, strings.Fields(line)...), dirs...)...)
		if status != 0 || out != want || errs != "" {
			t.Errorf("%s: status %d, %q, %q", line, status, out, errs)
		}
	}
	if _, err := os.Stat(dirs[3]); !os.IsNotExist(err) {
		t.Errorf("the data directory was made by looking at it: %v", err)
	}
}

func TestImageNamesAreCompleted(t *testing.T) {
	data := t.TempDir()
	names := filepath.Join(data, "images", "names")
	if err := os.MkdirAll(names, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(names, "debian.json"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, command := range []string{"inspect", "rm", "verify", "path"} {
		_, out, _ := capture(t, "__complete", "--data-dir", data, "image", command, "")
		if !strings.HasPrefix(out, "debian\n") {
			t.Errorf("image %s offers\n%s", command, out)
		}
	}
}

// Where an image came from is a text of others'.
func TestImagesAreQuoted(t *testing.T) {
	var printed bytes.Buffer
	a := &app{out: &printed}
	i := store.Image{Name: "web", Missing: true, Source: store.Source{From: "/srv/a\n\x1b[2J.qcow2"}, UsedBy: []string{"VM a", "VM b"}}
	if err := a.imageTable([]store.Image{i}); err != nil {
		t.Fatal(err)
	}
	if err := a.describeImage(i); err != nil {
		t.Fatal(err)
	}
	a.printVerdicts([]store.Verdict{{Name: "web", Problem: "it said \a"}, {Name: "db", OK: true}})
	text := printed.String()
	if strings.ContainsAny(text, "\x1b\a") || strings.Count(text, `"/srv/a\n\x1b[2J.qcow2"`) != 2 {
		t.Errorf("printed %q", text)
	}
	for _, want := range []string{"missing", "VM a, VM b", "bad   web: it said \\a\nok    db\n"} {
		if !strings.Contains(text, want) {
			t.Errorf("not %q:\n%s", want, text)
		}
	}
}
