package e2e

import (
	"os"
	"testing"

	"kvmrun/tests/lab"
)

// TestMicroVMBootsDisk boots a disk's own boot loader on a machine without PCI.
// Where the kernel gets to under TCG depends on the clock, and is no matter.
func TestMicroVMBootsDisk(t *testing.T) {
	t.Parallel()
	if _, err := os.Stat("/usr/share/seabios/bios-microvm.bin"); err != nil {
		t.Skipf("skipped: SeaBIOS for microvm is not installed: %v", err)
	}
	h := newHost(t)
	v := h.start(t, lab.Guest(t).CopyDisk(t), "--machine", "microvm", "--wait", "console:Linux version")
	h.must(t, "stop", "--force", v.Name)
	h.isAsBefore(t)
}
