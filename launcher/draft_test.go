package launcher

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"kvmrun/launcher/qemu"
)

// A shell's directory may be removed under it. That matters to relative paths
// alone.
func TestPathsFromADirectoryThatIsGone(t *testing.T) {
	gone := filepath.Join(t.TempDir(), "gone")
	if err := os.Mkdir(gone, 0o700); err != nil {
		t.Fatal(err)
	}
	t.Chdir(gone)
	if err := os.Remove(gone); err != nil {
		t.Fatal(err)
	}
	t.Setenv("PWD", "")
	if got, err := fromHere("/srv/../srv/a.qcow2"); err != nil || got != "/srv/a.qcow2" {
		t.Errorf("an absolute path: %q, %v", got, err)
	}
	for _, o := range []Options{{RunDir: "x"}, {DataDir: "x"}} {
		if _, err := New(o); KindOf(err) != KindUsage || !strings.Contains(err.Error(), "working directory, which is gone") {
			t.Errorf("%+v: %v", o, err)
		}
	}
	if _, err := New(Options{RunDir: "/run/kvmrun", DataDir: "/var/lib/kvmrun"}); err != nil {
		t.Errorf("absolute directories: %v", err)
	}
}

func TestFirmwareFor(t *testing.T) {
	seabios := filepath.Join(t.TempDir(), "bios-microvm.bin")
	if err := os.WriteFile(seabios, []byte("x"), 0o644); err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		change func(*Spec)
		file   string
		want   string
	}{
		"a disk":         {func(*Spec) {}, seabios, seabios},
		"a kernel":       {func(s *Spec) { s.Boot.Kernel = "/vmlinuz" }, seabios, ""},
		"the user's own": {func(s *Spec) { s.Extra = []string{"-bios", "x"} }, seabios, ""},
		"none installed": {func(*Spec) {}, seabios + "x", ""},
		"q35":            {func(s *Spec) { s.Machine = qemu.Q35 }, seabios, ""},
	} {
		s := sound()
		s.Machine = qemu.MicroVM
		c.change(&s)
		if got := firmwareFor(&s, c.file); got != c.want {
			t.Errorf("%s: %q, want %q", name, got, c.want)
		}
	}
}
