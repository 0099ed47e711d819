package lab

import (
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
)

func TestKvmrunIsFoundByTestsAndScripts(t *testing.T) {
	w := New(t).Host
	direct := w.MustRun(t, "kvmrun", "version")
	if direct == "" {
		t.Error("kvmrun version prints nothing")
	}
	if script := w.MustRun(t, "sh", "-c", "kvmrun version"); script != direct {
		t.Errorf("a script runs another kvmrun: %q, want %q", script, direct)
	}
}

// TestBuildsSideBySide has many build at once in a folder in which a killed one
// left half a program, while others use what is there.
func TestBuildsSideBySide(t *testing.T) {
	root, err := moduleRoot()
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	program, err := build(root, dir)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(program+".new", []byte("half"), 0o755); err != nil {
		t.Fatal(err)
	}
	var builds sync.WaitGroup
	for range 8 {
		builds.Go(func() {
			if again, err := build(root, dir); err != nil || again != program {
				t.Errorf("built %s (%v), want %s", again, err, program)
			}
		})
	}
	done := make(chan struct{})
	go func() { builds.Wait(); close(done) }()
	for ended := false; !ended; {
		select {
		case <-done:
			ended = true // and once more, now that all is over
		default:
		}
		if out, err := exec.Command(program, "version").CombinedOutput(); err != nil {
			t.Fatalf("what is there cannot be used: %v\n%s", err, out)
		}
	}
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, e := range entries {
		names = append(names, e.Name())
	}
	if want := []string{".lock", "kvmrun"}; !slices.Equal(names, want) {
		t.Errorf("left in the folder: %q, want %q", names, want)
	}
}

// What is built lies in the repository's build folder, which git ignores, and
// not where every killed run would leave one more.
func TestBinaryHasItsPlace(t *testing.T) {
	if os.Getenv("KVMRUN_BIN") != "" {
		t.Skip("skipped: KVMRUN_BIN names another")
	}
	root, err := moduleRoot()
	if err != nil {
		t.Fatal(err)
	}
	if got := Binary(t); !strings.HasPrefix(got, filepath.Join(root, "build")+"/") {
		t.Errorf("built as %s, want it below build", got)
	}
}

func TestQEMUUnderTestIsReachableByAnyUser(t *testing.T) {
	// The test's own directory is one that only root can enter.
	dir := t.TempDir()
	if err := os.Chmod(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	inner := filepath.Join(dir, "qemu")
	if err := os.Mkdir(inner, 0o755); err != nil {
		t.Fatal(err)
	}
	qemu := filepath.Join(inner, "qemu-system-x86_64")
	if err := os.WriteFile(qemu, []byte("#!/bin/sh\necho stand-in\n"), 0o755); err != nil {
		t.Fatal(err)
	}
	t.Setenv("KVMRUN_TEST_QEMU", qemu)
	w := New(t).Host
	for _, command := range []string{"qemu-system-x86_64", "setpriv --reuid 65534 --clear-groups qemu-system-x86_64"} {
		if got := w.MustRun(t, "sh", "-c", command); got != "stand-in\n" {
			t.Errorf("%s: %q", command, got)
		}
	}
}
