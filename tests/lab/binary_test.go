package lab

import (
	"os"
	"path/filepath"
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
