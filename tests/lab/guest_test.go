package lab

import (
	"bytes"
	"os"
	"testing"
)

func TestGuestIsBuiltAndCopied(t *testing.T) {
	g := Guest(t)
	for path, magic := range map[string]string{
		g.CopyDisk(t): "QFI\xfb",
		g.Initrd:      "070701", // cpio, "newc"
		g.Kernel:      "MZ",
	} {
		content, err := os.ReadFile(path)
		if err != nil {
			t.Error(err)
		} else if !bytes.HasPrefix(content, []byte(magic)) {
			t.Errorf("%s begins with %q, want %q", path, content[:8], magic)
		}
	}
	before, err := os.Stat(g.Disk)
	if err != nil {
		t.Fatal(err)
	}
	after, err := os.Stat(Guest(t).Disk)
	if err != nil {
		t.Fatal(err)
	}
	if !os.SameFile(before, after) {
		t.Error("a second request built the guest again")
	}
}
