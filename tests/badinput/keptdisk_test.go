package badinput

import (
	"strings"
	"testing"

	"kvmrun/tests/lab"
)

// keepWeb keeps a disk of web's, which began with the image good, and makes an image
// other.
func keepWeb(t *testing.T, h *host) {
	t.Helper()
	newStore(t, h)
	h.MustRun(t, "kvmrun", "image", "import", "/run/img/sparse.vmdk", "other")
	h.startIdle(t, "good", "--name", "web")
	h.MustRun(t, "kvmrun", "stop", "--force", "web")
	h.remember(t)
}

func TestDisksThatCannotBeMade(t *testing.T) {
	h := newHost(t)
	newStore(t, h)
	h.used(t)
	h.MustRun(t, "mkdir", "-m", "700", "/var/lib/kvmrun/disks")
	h.remember(t)
	h.refuseStart(t, []refusal{
		{"no such image", []string{"nothing"}, exitImage, []string{"nothing is no file here", "kvmrun image ls"}},
		{"no such image beside a file", []string{"good", "--disk", "nothing"}, exitImage, []string{"nothing"}},
		{"no such file", []string{"./good"}, exitImage, []string{"good", "no such file"}},
		{"raw", []string{"good", "--format", "raw"}, exitUsage, []string{"--format"}},
		{"too small", []string{"good", "--disk-size", "512K"}, exitUsage, []string{"--disk-size 512K", "image good"}},
		{"too small to be thrown away", []string{"/run/img/good.qcow2", "--ephemeral", "--disk-size", "512K"}, exitUsage, []string{"--disk-size 512K"}},
		{"too large", []string{"good", "--disk-size", "4000000T"}, exitUsage, []string{"2 PiB"}},
		{"not whole sectors", []string{"good", "--disk-size", "5000.3K"}, exitUsage, []string{"512"}},
		{"size of a file", []string{"/run/img/good.qcow2", "--disk-size", "1G"}, exitUsage, []string{"qemu-img resize"}},
		{"size that is none", []string{"good", "--disk-size", "much"}, exitUsage, []string{"--disk-size"}},
		{"size of nothing", []string{"--kernel", "/run/img/disk.img", "--disk-size", "1G"}, exitUsage, []string{"--disk-size"}},
		{"empty size", []string{"good", "--disk-size", ""}, exitUsage, []string{"--disk-size"}},
	})
	for _, c := range []refusal{
		{"rm without a name", []string{"rm"}, exitUsage, []string{"kvmrun rm --help"}},
		{"rm of no VM", []string{"rm", "web"}, exitNotFound, []string{"web", "kvmrun list -a"}},
		{"rm of no name", []string{"rm", "../web"}, exitUsage, []string{"letters"}},
		{"commit of one name", []string{"commit", "web"}, exitUsage, []string{"kvmrun commit --help"}},
		{"commit of no VM", []string{"commit", "web", "x"}, exitNotFound, []string{"web", "kvmrun image import"}},
		{"commit to no name", []string{"commit", "web", "../x"}, exitUsage, []string{"an image"}},
	} {
		h.refuse(t, c)
	}
}

func TestDisksThatAreKept(t *testing.T) {
	h := newHost(t)
	keepWeb(t, h)
	web := func(args ...string) []string { return concat([]string{"--name", "web"}, args) }
	const rm = "kvmrun rm web"
	h.refuseStart(t, []refusal{
		{"another image", web("other"), exitExists, []string{"began with image good and not with other", rm}},
		{"a file", web("/run/img/good.qcow2"), exitExists, []string{"began with image good", rm}},
		{"writes thrown away", web("good", "--ephemeral"), exitExists, []string{"is kept", rm}},
		{"another number", web("/run/img/good.qcow2", "--disk", "good"), exitExists, []string{"its number 0", rm}},
		{"smaller", web("good", "--disk-size", "512K"), exitUsage, []string{"--disk-size"}},
	})
	h.MustRun(t, "kvmrun", "image", "import", "--replace", "/run/img/sparse.vmdk", "good")
	h.startIdle(t, "good", "--name", "web", "--disk-size", "12M") // it goes on with what it has
	h.MustRun(t, "kvmrun", "stop", "--force", "web")
	h.remember(t)
	h.refuseStart(t, []refusal{
		{"smaller than it is", web("good", "--disk-size", "10M"), exitExists, []string{"has 12M already", rm}},
	})
	r := h.Run(t, "kvmrun", concat(small, web("good", "--disk-size", "5T"))...)
	_, says, _ := strings.Cut(r.Stderr, "\n") // behind the note that the disk was kept
	refusal{status: exitImage, says: []string{"qemu-img resize"}}.check(t, lab.Result{ExitCode: r.ExitCode, Stderr: says})
	h.unchanged(t)
	h.MustRun(t, "rm", "/var/lib/kvmrun/disks/web/disk0.qcow2")
	h.remember(t)
	h.refuseStart(t, []refusal{{"that is gone", web("good"), exitStorage, []string{"disk0.qcow2 is gone", rm}}})
	h.MustRun(t, "kvmrun", "rm", "web")
}

// What cannot be read keeps every image, and its name from every VM.
func TestDisksThatCannotBeRead(t *testing.T) {
	h := newHost(t)
	keepWeb(t, h)
	const folder = "/var/lib/kvmrun/disks/web"
	for _, c := range []struct {
		name, damage, repair string
		says                 string
	}{
		{"damaged record", "cp disks.json /run/sound; echo '{' >disks.json", "mv /run/sound disks.json", "kvmrun rm web"},
		{"empty record", "cp disks.json /run/sound; : >disks.json", "mv /run/sound disks.json", "kvmrun rm web"},
		{"no record", "mv disks.json /run/sound", "mv /run/sound disks.json", "kvmrun rm web"},
		{"newer record", `sed -i 's/"version": 1/"version": 2/' disks.json`, `sed -i 's/"version": 2/"version": 1/' disks.json`, "newer"},
		{"link", "mv $PWD /run/web; ln -s /run/web $PWD", "rm /var/lib/kvmrun/disks/web; mv /run/web /var/lib/kvmrun/disks/web", folder},
		{"for all to write to", "chmod 777 .", "chmod 700 .", folder},
	} {
		h.MustRun(t, "sh", "-ec", "cd "+folder+"; "+c.damage)
		h.remember(t)
		for _, args := range [][]string{
			concat(small, []string{"good", "--name", "web"}), {"commit", "web", "new"}, {"image", "rm", "other"}, {"image", "prune"},
		} {
			h.refuse(t, refusal{c.name + ": " + args[0], args, exitStorage, []string{c.says}})
		}
		r := h.Run(t, "kvmrun", "list", "-a")
		refusal{status: exitStorage, says: []string{"web"}}.check(t, lab.Result{ExitCode: r.ExitCode, Stderr: r.Stderr})
		h.MustRun(t, "sh", "-ec", "cd "+folder+"; "+c.repair)
	}
	h.MustRun(t, "sh", "-ec", "cd "+folder+"; echo '{' >disks.json")
	h.MustRun(t, "kvmrun", "rm", "web")
	h.MustRun(t, "kvmrun", "image", "rm", "other")
}

func TestDataDirectoryOfDisks(t *testing.T) {
	h := newHost(t)
	newStore(t, h)
	h.used(t)
	h.MustRun(t, "sh", "-ec", `
		mkdir /run/ro /run/full /run/odd
		for dir in ro full odd; do
			mount -t tmpfs -o size=2m tmpfs /run/$dir
			kvmrun --data-dir /run/$dir image import /run/img/good.qcow2 good
		done
		mount -o remount,ro /run/ro
		touch /run/odd/disks
		mkdir -m 700 /run/full/disks
		dd if=/dev/zero of=/run/full/fill bs=1k count=4000 2>/dev/null || :
	`)
	h.remember(t)
	at := func(dir string, args ...string) []string { return concat([]string{"--data-dir", dir, "good"}, args) }
	h.refuseStart(t, []refusal{
		{"read-only", at("/run/ro", "--name", "web"), exitStorage, []string{"start web", "/run/ro", "read-only", "--data-dir"}},
		{"full", at("/run/full", "--name", "web"), exitStorage, []string{"/run/full", "no space left", "--data-dir"}},
		{"disks is a file", at("/run/odd", "--name", "web"), exitStorage, []string{"/run/odd/disks", "--data-dir"}},
		{"disks is a file, and no name", at("/run/odd"), exitStorage, []string{"/run/odd/disks", "--data-dir"}},
	})
	h.refuse(t, refusal{"disks is a file, image rm", []string{"--data-dir", "/run/odd", "image", "rm", "good"}, exitStorage, []string{"/run/odd/disks"}})
}
