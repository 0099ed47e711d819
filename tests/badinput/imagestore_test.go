package badinput

import (
	"fmt"
	"os"
	"strings"
	"testing"
)

// newStore makes a store with one image, made of good.qcow2, and images good and bad.
func newStore(t *testing.T, h *host) {
	t.Helper()
	newDisks(t, h)
	h.MustRun(t, "kvmrun", "image", "import", "/run/img/good.qcow2", "good")
	h.MustRun(t, "sh", "-ec", `
		cd /run/img
		printf '# Disk DescriptorFile\nversion=1\nCID=1\nparentCID=ffffffff\ncreateType="monolithicFlat"\nRW 1 FLAT "/etc/shadow" 0\n' >flat.vmdk
		qemu-img create -q -f vmdk sparse.vmdk 1M
		cp sparse.vmdk hollow.vmdk
		dd if=/dev/zero of=hollow.vmdk bs=1 seek=12 count=8 conv=notrunc status=none
		dd if=flat.vmdk of=hollow.vmdk bs=512 seek=1 conv=notrunc status=none
		qemu-img create -q -f vmdk -b sparse.vmdk -F vmdk delta.vmdk
		qemu-img create -q -f vdi whole.vdi -o static=on 1M
		head -c 600000 whole.vdi >cut.vdi
		qemu-img create -q -f vhdx broken.vhdx 1M
		dd if=/dev/zero of=broken.vhdx bs=64k seek=1 count=8 conv=notrunc status=none
		qemu-img create -q -f qcow2 -b json:{} -F raw -u json.qcow2 1M
		qemu-img create -q -f qcow2 -b nbd://127.0.0.1/x -F raw -u nbd.qcow2 1M
		qemu-img create -q -f qcow2 -b /etc/shadow -F raw -u shadow.qcow2 1M
		qemu-img create -q -f qcow2 loop.qcow2 1M
		qemu-img rebase -u -b loop.qcow2 -F qcow2 loop.qcow2
		cp good.qcow2 huge.qcow2
		printf '\177\377\377\377\377\377\377\377' | dd of=huge.qcow2 bs=1 seek=24 conv=notrunc status=none
	`)
	h.remember(t)
}

func TestImportsThatAreRefused(t *testing.T) {
	h := newHost(t)
	newStore(t, h)
	const dir = "/run/img/"
	for _, c := range []refusal{
		{"missing", []string{dir + "nothing"}, exitImage, []string{"import image web", dir + "nothing", "no such file"}},
		{"empty", []string{dir + "empty.qcow2"}, exitImage, []string{"empty"}},
		{"directory", []string{dir + "folder"}, exitImage, []string{"directory"}},
		{"pipe", []string{dir + "pipe.qcow2"}, exitImage, []string{"named pipe"}},
		{"text", []string{dir + "notes.txt"}, exitImage, []string{"text file"}},
		{"truncated", []string{dir + "truncated.qcow2"}, exitImage, []string{"interrupted"}},
		{"raw without saying so", []string{dir + "disk.img"}, exitImage, []string{"--format raw"}},
		{"qcow2 called .raw", []string{dir + "secretly.raw"}, exitImage, []string{"qcow2"}},
		{"VMDK called raw", []string{dir + "sparse.vmdk", "--format", "raw"}, exitImage, []string{"VMDK"}},
		{"qcow2 called vmdk", []string{dir + "good.qcow2", "--format", "vmdk"}, exitImage, []string{"vmdk", "qcow2"}},
		{"VMDK that names a file", []string{dir + "flat.vmdk"}, exitImage, []string{"other files", "qemu-img convert"}},
		{"VMDK without a capacity", []string{dir + "hollow.vmdk"}, exitImage, []string{"other files"}},
		{"VMDK with a parent", []string{dir + "delta.vmdk"}, exitImage, []string{"parent"}},
		{"VDI that is cut short", []string{dir + "cut.vdi"}, exitImage, []string{dir + "cut.vdi", "interrupted"}},
		{"VHDX without its tables", []string{dir + "broken.vhdx"}, exitImage, []string{dir + "broken.vhdx", "QEMU"}},
		{"backing file json:", []string{dir + "json.qcow2"}, exitImage, []string{"protocol"}},
		{"backing file nbd:", []string{dir + "nbd.qcow2", "--allow-backing"}, exitImage, []string{"protocol"}},
		{"backing file of the host's", []string{dir + "shadow.qcow2"}, exitImage, []string{"/etc/shadow", "--allow-backing"}},
		{"backing file that is itself", []string{dir + "loop.qcow2"}, exitImage, []string{"loop"}},
		{"backing file gone", []string{dir + "orphan.qcow2"}, exitImage, []string{"gone-base.qcow2"}},
		{"disk of 8 EiB", []string{dir + "huge.qcow2"}, exitImage, []string{dir + "huge.qcow2"}},
		{"format that is none", []string{dir + "good.qcow2", "--format", "vhd"}, exitUsage, []string{"--format", "vpc"}},
		{"empty file name", []string{""}, exitUsage, []string{"empty"}},
		{"file name of 5000 characters", []string{fmt.Sprintf("%0*d", 5000, 1)}, exitImage, nil},
	} {
		c.args = concat([]string{"image", "import"}, c.args, []string{"web"})
		h.refuse(t, c)
	}
	h.refuse(t, refusal{"a name with another content", []string{"image", "import", dir + "sparse.vmdk", "good"}, exitExists,
		[]string{"import image good", "--replace", dir + "good.qcow2"}})
	h.startIdle(t, dir+"good.qcow2", "--name", "web")
	h.remember(t)
	h.refuse(t, refusal{"a disk that a VM writes to", []string{"image", "import", dir + "good.qcow2", "web"}, exitImageInUse, []string{dir + "good.qcow2"}})
}

func TestImageNames(t *testing.T) {
	h := newHost(t)
	newStore(t, h)
	for what, name := range map[string]string{"path": "../good", "two lines": "a\nb", "the empty name": "", "a long name": strings.Repeat("x", 64), "a hidden name": ".x"} {
		for _, command := range []string{"import", "inspect", "rm", "verify", "path"} {
			args := []string{"image", command, "--", name}
			if command == "import" {
				args = []string{"image", command, "--", "/run/img/good.qcow2", name}
			}
			h.refuse(t, refusal{command + " of " + what, args, exitUsage, []string{"name", "letters, digits"}})
		}
	}
	for _, command := range []string{"inspect", "rm", "verify", "path"} {
		h.refuse(t, refusal{command + " of no image", []string{"image", command, "web"}, exitNotFound, []string{"image web", "kvmrun image ls"}})
	}
	for _, command := range []string{"inspect", "rm", "path", "import"} {
		h.refuse(t, refusal{command + " without a name", []string{"image", command}, exitUsage, []string{"kvmrun image " + command + " --help"}})
	}
	for _, c := range []refusal{
		{"ls with a name", []string{"image", "ls", "good"}, exitUsage, []string{"kvmrun image ls --help"}},
		{"prune with a name", []string{"image", "prune", "good"}, exitUsage, []string{"kvmrun image prune --help"}},
		{"two to inspect", []string{"image", "inspect", "good", "good"}, exitUsage, []string{"one image"}},
		{"no such command", []string{"image", "improt"}, exitUsage, []string{"improt", "kvmrun image --help"}},
	} {
		h.refuse(t, c)
	}
}

func TestImageStoreThatCannotBeWritten(t *testing.T) {
	h := newHost(t)
	newStore(t, h)
	h.write(t, "file", []byte("x"))
	h.MustRun(t, "sh", "-ec", `
		mkdir /run/ro /run/full /run/tight
		mount -t tmpfs -o ro tmpfs /run/ro
		mount -t tmpfs -o size=64k tmpfs /run/full
		mount -t tmpfs -o size=640k tmpfs /run/tight
		for dir in full tight; do
			mkdir -p /run/$dir/images/blobs /run/$dir/images/names /run/$dir/images/partial
			chmod -R 700 /run/$dir/images
			touch /run/$dir/images/lock
		done
		! dd if=/dev/zero of=/run/full/fill bs=4k count=17 2>/dev/null || exit 1 # or it is not full
		yes | head -c 500000 >/run/img/dense.raw
		truncate -s %512 /run/img/dense.raw
	`)
	h.remember(t)
	for _, c := range []refusal{
		{"read-only", []string{"/run/ro", "/run/img/good.qcow2"}, exitStorage, []string{"read-only", "--data-dir"}},
		{"file", []string{"/run/file", "/run/img/good.qcow2"}, exitStorage, []string{"/run/file", "--data-dir"}},
		{"full", []string{"/run/full", "/run/img/good.qcow2"}, exitStorage, []string{"no space left", "--data-dir"}},
		{"no room to convert", []string{"/run/tight", "/run/img/dense.raw"}, exitStorage, []string{"no space left", "--data-dir"}},
	} {
		c.args = []string{"image", "import", "--data-dir", c.args[0], c.args[1], "web"}
		h.refuse(t, c)
	}
	for _, command := range []string{"ls", "prune", "verify"} {
		h.refuse(t, refusal{command + " of a file", []string{"image", command, "--data-dir", "/run/file"}, exitStorage, []string{"/run/file", "--data-dir"}})
	}
}

func TestImageRecordsThatAreDamaged(t *testing.T) {
	h := newHost(t)
	newStore(t, h)
	h.MustRun(t, "kvmrun", "image", "import", "/run/img/good.qcow2", "fine")
	record := h.File("/var/lib/kvmrun/images/names/good.json")
	if err := os.WriteFile(record, []byte("\x1b[2J{"), 0o600); err != nil {
		t.Fatal(err)
	}
	h.remember(t)
	for _, command := range []string{"inspect", "path"} {
		h.refuse(t, refusal{command, []string{"image", command, "good"}, exitStorage, []string{"names/good.json", "kvmrun image rm"}})
	}
	h.refuse(t, refusal{"prune", []string{"image", "prune"}, exitStorage, []string{"names/good.json"}})
	r := h.Run(t, "kvmrun", "image", "ls")
	if r.ExitCode != exitStorage || !strings.Contains(r.Stdout, "fine") || !strings.Contains(r.Stderr, "names/good.json") {
		t.Errorf("ls: %s", r)
	}
	r = h.Run(t, "kvmrun", "image", "verify")
	if r.ExitCode != exitImage || !strings.Contains(r.Stdout, "ok    fine\nbad   good: ") || r.Stderr != "" {
		t.Errorf("verify: %s", r)
	}
	h.MustRun(t, "kvmrun", "image", "rm", "good")
	h.MustRun(t, "kvmrun", "image", "verify")
}

// Without qemu-img, what needs it says so, and the rest goes on.
func TestImagesWithoutConverter(t *testing.T) {
	h := newHost(t)
	newStore(t, h)
	run := func(args ...string) (int, string) {
		r := h.RunWith(t, runWith([]string{"PATH=/run"}), "kvmrun", append([]string{"image"}, args...)...)
		return r.ExitCode, r.Stderr
	}
	for _, args := range [][]string{{"import", "/run/img/sparse.vmdk", "web"}, {"verify"}} {
		if status, says := run(args...); status != exitHost || !strings.Contains(says, "qemu-utils") {
			t.Errorf("%q: status %d, %s", args, status, says)
		}
	}
	h.unchanged(t)
	if status, says := run("import", "/run/img/good.qcow2", "web"); status != 0 {
		t.Errorf("status %d, %s", status, says)
	}
}
