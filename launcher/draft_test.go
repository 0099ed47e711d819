package launcher

import (
	"os"
	"path/filepath"
	"testing"

	"kvmrun/launcher/qemu"
)

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
