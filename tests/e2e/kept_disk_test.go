package e2e

import (
	"strings"
	"testing"

	"kvmrun/tests/lab"
)

// keptMarker is what the guest writes to its disk, far behind what is on the image.
const keptMarker = "written by the guest"

const (
	writeMarker = "printf '" + keptMarker + "' | dd of=/dev/vda bs=1M seek=100 conv=fsync 2>/dev/null"
	readMarker  = "dd if=/dev/vda bs=1M skip=100 count=1 2>/dev/null | head -c 20"
)

// TestKeptDisk starts VMs from an image in the store: each writes to an overlay of its
// own, which outlasts it, and never to the image.
func TestKeptDisk(t *testing.T) {
	t.Parallel()
	h := newHost(t)
	h.must(t, "image", "import", lab.Guest(t).CopyDisk(t), "tiny")
	blob := strings.TrimSpace(h.must(t, "image", "path", "tiny"))
	start := func(args ...string) *vm {
		return h.startNet(t, append(append([]string{}, args...), boot(t)...)...)
	}
	sum := h.sh(t, "sha256sum "+blob)

	v := start("tiny", "--name", "web", "--disk-size", "200M")
	if got := v.sh(t, "cat /sys/block/vda/size"); strings.TrimSpace(got) != "409600" {
		t.Errorf("the disk has %q sectors", got)
	}
	v.sh(t, writeMarker)
	if r := h.Host.Run(t, "kvmrun", "image", "rm", "tiny"); r.ExitCode != 8 || !strings.Contains(r.Stderr, "VM web needs it") {
		t.Errorf("the image of a VM is removed: %s", r)
	}
	for _, command := range [][]string{{"rm", "web"}, {"commit", "web", "other"}} {
		if r := h.Host.Run(t, "kvmrun", command...); r.ExitCode != 4 || !strings.Contains(r.Stderr, "stop it first") {
			t.Errorf("%v of a VM that runs: %s", command, r)
		}
	}
	h.must(t, "stop", "web")
	if listed := h.list(t, "-a"); len(listed) != 1 || listed[0].Name != "web" || listed[0].State != "stopped" {
		t.Errorf("listed: %+v", listed)
	}
	if listed := h.list(t); len(listed) != 0 {
		t.Errorf("listed without -a: %+v", listed)
	}
	h.must(t, "gc") // takes nothing that was written to

	// The next of the name goes on with it, another begins anew.
	v = start("tiny", "--name", "web")
	if got := v.sh(t, readMarker); got != keptMarker {
		t.Errorf("the next VM of the name reads %q", got)
	}
	// A restart does, whatever the image's name leads to by now.
	h.must(t, "image", "import", "--replace", "--format", "raw", lab.Guest(t).Initrd, "tiny")
	h.must(t, "restart", "--force", "web")
	h.must(t, "wait", "web", "--for", "net")
	if got := v.sh(t, readMarker); got != keptMarker {
		t.Errorf("after a restart it reads %q", got)
	}
	if r := h.Host.Run(t, "kvmrun", startArgs("tiny", "--name", "web")...); r.ExitCode != 4 {
		t.Errorf("a start of a VM that runs: %s", r)
	}
	h.must(t, "image", "import", "--replace", lab.Guest(t).CopyDisk(t), "tiny")
	other := start("tiny", "--name", "db", "--disk-size", "200M")
	if got := other.sh(t, readMarker); got == keptMarker {
		t.Error("another VM reads what this one has written")
	}
	h.must(t, "stop", "--force", "web", "db")
	if got := h.sh(t, "sha256sum "+blob); got != sum {
		t.Errorf("the image was written to: %s, before %s", got, sum)
	}
	h.sh(t, "qemu-img check -q /var/lib/kvmrun/disks/web/disk0.qcow2")

	// All that the guest saw becomes an image, of which a guest throws its writes away.
	h.must(t, "commit", "web", "web-1")
	h.must(t, "rm", "web", "db")
	if r := h.Host.Run(t, "kvmrun", "rm", "web"); r.ExitCode != 3 {
		t.Errorf("rm of what is gone: %s", r)
	}
	for range 2 {
		v = start("web-1", "--ephemeral")
		if got := v.sh(t, readMarker); got != keptMarker {
			t.Errorf("a guest on the committed image reads %q", got)
		}
		v.sh(t, strings.ReplaceAll(writeMarker, "written", "scribed"))
		h.must(t, "stop", "--force", v.Name)
	}
	h.must(t, "image", "rm", "web-1")
	h.sh(t, "rmdir /var/lib/kvmrun/disks /var/lib/kvmrun/overlays; rm -r /var/lib/kvmrun/images")
	h.isAsBefore(t)
}

// TestKeptDiskOfNoVM: a start that fails leaves no disk, and one that is killed leaves
// one that gc takes.
func TestKeptDiskOfNoVM(t *testing.T) {
	t.Parallel()
	h := newHost(t)
	h.must(t, "image", "import", lab.Guest(t).CopyDisk(t), "tiny")
	h.before = h.Host.Snapshot(t)
	if r := h.Host.Run(t, "kvmrun", startArgs("tiny", "--name", "web", "--", "-device", "no-such")...); r.ExitCode != 11 {
		t.Errorf("a QEMU that refuses: %s", r)
	}
	h.must(t, "stop", "web")
	h.sh(t, "rmdir /var/lib/kvmrun/disks")
	h.isAsBefore(t)

	h.strace(t, "symlinkat:signal=KILL:when=1", startArgs("tiny", "--name", "web")...).Wait(t, patience)
	if got := h.sh(t, "ls /var/lib/kvmrun/disks/web"); got != "disk0.qcow2\n" {
		t.Errorf("it was killed before it made the disk, or after: %q", got)
	}
	found := h.gc(t)
	if len(found) == 0 {
		t.Error("gc finds nothing")
	}
	h.sh(t, "rmdir /var/lib/kvmrun/disks")
	h.isAsBefore(t)
}
