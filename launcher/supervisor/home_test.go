package supervisor

import (
	"bytes"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"kvmrun/launcher/vmdir"
)

// TestWhyTheFolderIsAstray tells a folder that is gone from one that cannot be
// looked at, once each.
func TestWhyTheFolderIsAstray(t *testing.T) {
	file := filepath.Join(t.TempDir(), "file")
	lock, err := os.Create(file)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = lock.Close() }()
	for path, want := range map[string]string{
		file: "cannot be looked at", "/proc/kvmrun": "is gone and cannot be put back",
	} {
		var said bytes.Buffer
		root := vmdir.Root{Path: path}
		s := &supervisor{root: root, dir: root.Dir("web"), lock: lock, log: slog.New(slog.NewTextHandler(&said, nil))}
		s.keepHome()
		s.keepHome()
		if strings.Count(said.String(), want) != 1 || strings.Count(said.String(), "\n") != 1 || s.astray == "" {
			t.Errorf("%s: %s", path, said.String())
		}
	}
}
