package e2e

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"kvmrun/tests/lab"
)

// keptMarker is what the guest writes to its disk, far behind what is on the image.
const keptMarker = "written by the guest"

const (
	writeMarker = "printf '" + keptMarker + "' | dd of=/dev/vda bs=1M seek=100 conv=fsync 2>/dev/null"
	readMarker  = "dd if=/dev/vda bs=1M skip=100 count=1 2>/dev/null | head -c 20"
	diskOfWeb   = "/var/lib/kvmrun/disks/web/disk0.qcow2"
)

// withImage is a host whose store has an image, "tiny", which belongs to what it was.
// Only the data directory's skeleton may be left in the end.
func withImage(t *testing.T, file string) *host {
	t.Helper()
	h := newHost(t)
	h.must(t, "image", "import", file, "tiny")
	h.sh(t, "mkdir -m 700 -p /var/lib/kvmrun/disks")
	h.before = h.Host.Snapshot(t)
	return h
}

// kept are the disks that are kept, by their paths below the data directory.
func (h *host) kept(t *testing.T) string {
	t.Helper()
	return h.sh(t, "cd /var/lib/kvmrun/disks; ls -d */*.qcow2 2>/dev/null || :")
}

// TestKeptDisk starts VMs from an image in the store: each writes to an overlay of its
// own, which outlasts it, and never to the image.
func TestKeptDisk(t *testing.T) {
	t.Parallel()
	h := withImage(t, lab.Guest(t).Disk)
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
	if says := h.fails(t, 8, "image", "rm", "tiny"); !strings.Contains(says, ": VM web needs it") {
		t.Errorf("the image of a VM: %s", says)
	}
	for _, command := range [][]string{{"rm", "web"}, {"commit", "web", "other"}} {
		if says := h.fails(t, 4, command...); !strings.Contains(says, "stop it first") {
			t.Errorf("%v of a VM that runs: %s", command, says)
		}
	}
	h.must(t, "stop", "web")
	if listed := h.list(t, "-a"); len(listed) != 1 || listed[0].Name != "web" || listed[0].State != "stopped" || listed[0].Image != "tiny" {
		t.Errorf("listed: %+v", listed)
	}
	if listed := h.list(t); len(listed) != 0 {
		t.Errorf("listed without -a: %+v", listed)
	}
	if says := h.fails(t, 8, "image", "rm", "tiny"); !strings.Contains(says, ": the disk of VM web needs it") {
		t.Errorf("the image of a kept disk: %s", says)
	}
	if found := h.must(t, "gc"); strings.Contains(found, "web") {
		t.Errorf("gc says of a disk that is kept: %s", found)
	}

	// The next of the name goes on with it, as the same machine; a disk may grow. Without
	// a name, a VM begins anew.
	was := v.UUID
	r := h.run(t, startArgs(append([]string{"tiny", "--name", "web", "--disk-size", "300M", "--wait", "net", "--json"}, boot(t)...)...)...)
	if r.ExitCode != 0 || !strings.Contains(r.Stderr, "web goes on with the disk that is kept") {
		t.Fatal(r)
	}
	decode(t, r.Stdout, v)
	if got := v.sh(t, readMarker+"; cat /sys/block/vda/size"); got != keptMarker+"614400\n" {
		t.Errorf("the next VM of the name reads %q", got)
	}
	if v.UUID != was {
		t.Errorf("the machine was %s and is %s", was, v.UUID)
	}
	h.must(t, "stop", "--force", "web")
	for _, name := range []string{"tiny", "tiny-2"} {
		if other := h.start(t, append([]string{"tiny"}, frozen(t)...)...); other.Name != name {
			t.Errorf("without a name it is %s, not %s, and takes up a disk", other.Name, name)
		}
		h.must(t, "stop", "--force", name)
	}
	if got := h.sh(t, "sha256sum "+blob); got != sum {
		t.Errorf("the image was written to: %s, before %s", got, sum)
	}
	h.sh(t, "qemu-img check -q "+diskOfWeb)

	// Another name is another machine with the same disk.
	h.must(t, "start", "tiny", "--name", "db", "--accel", "tcg", "--kernel", lab.Guest(t).Kernel, "--memory", "64M", "--", "-S")
	for name, want := range map[string]string{"db": "there is a VM db already", "a/b": "a/b"} {
		if r := h.run(t, "rename", "web", name); r.ExitCode == 0 || !strings.Contains(r.Stderr, want) {
			t.Errorf("rename to %s: %s", name, r)
		}
	}
	if says := h.fails(t, 4, "rename", "db", "other"); !strings.Contains(says, "stop it first") {
		t.Errorf("rename of a VM that runs: %s", says)
	}
	h.must(t, "stop", "--force", "db")
	if says := h.fails(t, 4, "rename", "web", "db"); !strings.Contains(says, "there is a VM db already") {
		t.Errorf("rename to one that is kept: %s", says)
	}
	h.must(t, "rename", "web", "www")
	h.fails(t, 3, "rename", "web", "other")
	decode(t, h.must(t, startArgs(append([]string{"tiny", "--name", "www", "--wait", "net", "--json"}, boot(t)...)...)...), v)
	if got := v.sh(t, readMarker); got != keptMarker || v.UUID == was {
		t.Errorf("by another name the guest reads %q, and its machine is %s, before %s", got, v.UUID, was)
	}
	h.must(t, "stop", "--force", "www")
	h.must(t, "rename", "www", "web")
	h.must(t, "rm", "db")

	// All that the guest saw becomes an image, of which a guest throws its writes away.
	h.must(t, "commit", "web", "web-1")
	h.must(t, "rm", "web", "tiny", "tiny-2")
	h.fails(t, 3, "rm", "web")
	v = start("web-1", "--ephemeral", "--name", "web")
	v.sh(t, strings.ReplaceAll(writeMarker, "written", "scribed"))
	h.must(t, "restart", "--force", "web")
	h.must(t, "wait", "web", "--for", "net")
	if got := v.sh(t, readMarker); got != keptMarker {
		t.Errorf("a guest on the committed image reads %q", got)
	}
	h.must(t, "stop", "--force", "web")
	if got := h.kept(t); got != "" {
		t.Errorf("kept: %s", got)
	}
	h.must(t, "image", "rm", "web-1")
	h.sh(t, "rmdir /var/lib/kvmrun/overlays")
	h.isAsBefore(t)
}

// TestKeptDiskOfNoGuest: a start that fails leaves no disk, and one that is killed leaves
// one that gc takes. A disk that a guest has run with survives all that.
func TestKeptDiskOfNoGuest(t *testing.T) {
	t.Parallel()
	h := withImage(t, lab.BlankDisk(t, "qcow2"))
	args := func(more ...string) []string { return startArgs(append([]string{"tiny", "--name", "web"}, more...)...) }
	h.fails(t, 11, args("--", "-device", "no-such")...)
	if got := h.kept(t); got != "" {
		t.Errorf("of a guest that never ran is kept %s", got)
	}
	// What failed is made once more for a restart, which fails again.
	h.fails(t, 11, "restart", "web")
	h.must(t, "stop", "web")
	h.isAsBefore(t)

	h.start(t, append([]string{"tiny", "--name", "web"}, frozen(t)...)...)
	h.must(t, "stop", "--force", "web")
	const has = "web/disk0.qcow2\n"
	if r := h.run(t, args("--disk", "tiny", "--", "-device", "no-such")...); r.ExitCode != 11 {
		t.Errorf("a QEMU that refuses: %s", r)
	}
	if got := h.kept(t); got != has {
		t.Errorf("a start that failed has left %q", got)
	}
	h.start(t, append([]string{"tiny", "--name", "web"}, frozen(t)...)...)
	inode := h.sh(t, "stat -c %i "+diskOfWeb)
	h.must(t, "restart", "--force", "web")
	if now := h.sh(t, "stat -c %i "+diskOfWeb); now != inode {
		t.Error("a restart has made another disk")
	}
	v := h.inspect(t, "web")
	// Whoever is killed.
	h.kill(t, "KILL", h.supervisor(t, "web"))
	h.kill(t, "KILL", v.PID)
	lab.Eventually(t, patience, func() error {
		h.Host.MustRun(t, "kvmrun", "gc")
		if listed := h.list(t, "-a"); len(listed) != 1 || listed[0].State != "failed" && listed[0].State != "stopped" {
			return fmt.Errorf("listed %+v", listed)
		}
		return nil
	})
	if got := h.kept(t); got != has {
		t.Errorf("left of a VM that was killed: %q", got)
	}
	h.must(t, "rm", "web")
	h.isAsBefore(t)
}

// TestKeptDiskByHand runs the script of a dry run: what it makes is kept as kvmrun keeps
// it.
func TestKeptDiskByHand(t *testing.T) {
	t.Parallel()
	h := withImage(t, lab.Guest(t).Disk)
	run := func() {
		t.Helper()
		script := h.must(t, startArgs(append([]string{"tiny", "--name", "web", "--disk-size", "200M", "--dry-run"}, boot(t)...)...)...)
		path := filepath.Join(t.TempDir(), "by-hand.sh")
		if err := os.WriteFile(path, []byte(script), 0o644); err != nil {
			t.Fatal(err)
		}
		if program, err := exec.LookPath("shellcheck"); err == nil {
			if out, err := exec.Command(program, "--severity=warning", path).CombinedOutput(); err != nil {
				t.Errorf("shellcheck: %v\n%s", err, out)
			}
		}
		p := h.Host.Start(t, "bash", path)
		v := &vm{Name: "web", IP: "10.254.254.2", host: h}
		v.reachedFrom(t, h.LAN)
		v.sh(t, writeMarker)
		h.fails(t, 8, "image", "rm", "tiny")
		h.fails(t, 8, "rm", "web")
		v.poweroff(t)
		if r := p.Wait(t, patience); r.ExitCode != 0 {
			t.Errorf("the script failed: %s\n%s", r, script)
		}
	}
	run()
	v := h.startNet(t, append([]string{"tiny", "--name", "web"}, boot(t)...)...)
	if got := v.sh(t, readMarker); got != keptMarker {
		t.Errorf("a VM on the disk that was made by hand reads %q", got)
	}
	h.must(t, "stop", "--force", "web")
	run()
	h.must(t, "rm", "web")
	h.isAsBefore(t)
}
