package e2e

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"kvmrun/tests/lab"
)

// marker is what guests write to their disks.
const marker = "marker of a guest"

// write has the guest write the marker to the start of a disk.
func (v *vm) write(t *testing.T, device string) {
	t.Helper()
	v.guestHas(t, "printf '"+marker+"' >/dev/"+device+" && sync && echo done", "done\n")
}

// read is the start of a disk as the guest sees it.
func (v *vm) read(t *testing.T, device string) string {
	t.Helper()
	return v.sh(t, "head -c 17 /dev/"+device+" | tr '\\0' .")
}

func TestWritesPersist(t *testing.T) {
	t.Parallel()
	h := newHost(t)
	disk, second := lab.BlankDisk(t, "qcow2"), lab.BlankDisk(t, "raw")
	args := append(boot(t), disk, "--disk", second, "--name", "web")
	v := h.startNet(t, args...)
	v.write(t, "vdb")
	v.write(t, "vda")
	h.must(t, "stop", "--force", "web")
	v = h.startNet(t, args...)
	for _, device := range []string{"vda", "vdb"} {
		if got := v.read(t, device); !strings.Contains(got, marker) {
			t.Errorf("%s has lost what was written: %q", device, got)
		}
	}
	h.must(t, "stop", "web")
	h.isAsBefore(t)
	raw, err := os.ReadFile(second)
	if err != nil || !strings.HasPrefix(string(raw), marker) {
		t.Errorf("the raw image begins with %.20q: %v", raw, err)
	}
}

// TestEphemeral starts two VMs from one image: each has its own writes, and
// the image neither's.
func TestEphemeral(t *testing.T) {
	t.Parallel()
	h := newHost(t)
	disk := lab.BlankDisk(t, "qcow2")
	before := content(t, disk)
	args := append(boot(t), disk, "--ephemeral")
	a, b := h.startNet(t, args...), h.startNet(t, args...)
	if a.Name != "data" || b.Name != "data-2" {
		t.Errorf("the two are called %s and %s", a.Name, b.Name)
	}
	a.write(t, "vda")
	if got := a.read(t, "vda"); !strings.Contains(got, marker) {
		t.Errorf("the guest does not read what it wrote: %q", got)
	}
	if got := b.read(t, "vda"); strings.Contains(got, marker) {
		t.Errorf("another guest reads what it wrote: %q", got)
	}
	h.must(t, "stop", "--all")
	h.isAsBefore(t)
	if content(t, disk) != before {
		t.Error("the image was written to")
	}
}

// A second VM on an image that is in use is told whose lock that is, and what
// to do.
func TestImageInUse(t *testing.T) {
	t.Parallel()
	h := newHost(t)
	disk := lab.BlankDisk(t, "qcow2")
	h.start(t, disk, "--memory", "16M", "--", "-S")
	message := h.fails(t, 8, startArgs(disk, "--memory", "16M", "--", "-S")...)
	if !strings.Contains(message, disk) || !strings.Contains(message, "--ephemeral") || !strings.Contains(message, "lock") {
		t.Errorf("the message does not explain: %s", message)
	}
	if vms := h.list(t, "-a"); len(vms) != 1 {
		t.Errorf("listed: %+v", vms)
	}
	h.must(t, "stop", "--all", "--force")
	h.isAsBefore(t)
}

// TestFilesOfRootAlone boots from files that QEMU's user can neither read nor
// reach.
func TestFilesOfRootAlone(t *testing.T) {
	t.Parallel()
	g := lab.Guest(t)
	secret := func(t *testing.T, from string) string {
		dir := filepath.Join(t.TempDir(), "private")
		if err := os.Mkdir(dir, 0o700); err != nil {
			t.Fatal(err)
		}
		path := filepath.Join(dir, filepath.Base(from))
		if err := os.WriteFile(path, []byte(content(t, from)), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	for name, args := range map[string][]string{
		"disk":              {secret(t, g.Disk)},
		"disk, ephemeral":   {secret(t, g.Disk), "--ephemeral"},
		"kernel and initrd": {"--kernel", secret(t, g.Kernel), "--initrd", secret(t, g.Initrd), "--append", cmdline},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			h := newHost(t)
			v := h.startNet(t, args...)
			v.reachedFrom(t, h.LAN)
			h.must(t, "stop", v.Name)
			h.isAsBefore(t)
		})
	}
}

func content(t *testing.T, path string) string {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}
