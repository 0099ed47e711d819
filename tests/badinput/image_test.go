package badinput

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"golang.org/x/sys/unix"
)

// newDisks makes images good and bad in the host's /run/img.
func newDisks(t *testing.T, h *host) {
	t.Helper()
	h.write(t, "img/empty.qcow2", nil)
	h.write(t, "img/notes.txt", []byte("This is a shopping list.\nMilk, bread.\n"))
	h.write(t, "img/text.raw", []byte("This is a shopping list.\nMilk, bread.\n"))
	h.write(t, "img/disk.img", bytes.Repeat([]byte{0}, 1<<20))
	h.MustRun(t, "sh", "-ec", `
		cd /run/img
		mkdir folder elsewhere
		qemu-img create -q -f qcow2 good.qcow2 8M
		qemu-img create -q -f qcow2 elsewhere/base.qcow2 8M
		qemu-img create -q -f qcow2 -b elsewhere/base.qcow2 -F qcow2 sub.qcow2
		qemu-img create -q -f qcow2 -b /run/img/elsewhere/base.qcow2 -F qcow2 outside.qcow2
		qemu-img create -q -f qcow2 gone-base.qcow2 8M
		qemu-img create -q -f qcow2 -b gone-base.qcow2 -F qcow2 orphan.qcow2
		rm gone-base.qcow2
		mv outside.qcow2 folder/outside.qcow2
		qemu-img create -q -f qcow2 full.qcow2 8M
		qemu-io -c 'write 0 4M' full.qcow2 >/dev/null
		head -c 300000 full.qcow2 >truncated.qcow2
		head -c 60 good.qcow2 >stub.qcow2
		cp good.qcow2 secretly.raw
		printf 'KDMV' | cat - disk.img >machine.vmdk
		mkfifo pipe.qcow2
	`)
	fd, err := unix.Socket(unix.AF_UNIX, unix.SOCK_STREAM, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = unix.Close(fd) }()
	socket := filepath.Join(h.File("/run/img"), "socket.qcow2")
	if err := unix.Bind(fd, &unix.SockaddrUnix{Name: socket}); err != nil {
		t.Fatal(err)
	}
	h.remember(t)
}

func TestImagesThatAreNone(t *testing.T) {
	h := newHost(t)
	newDisks(t, h)
	const dir = "/run/img/"
	h.refuseStart(t, []refusal{
		{"missing", []string{dir + "nothing.qcow2"}, exitImage, []string{dir + "nothing.qcow2", "no such file"}},
		{"missing in a missing folder", []string{dir + "no/nothing.qcow2"}, exitImage, []string{"no such file"}},
		{"below a file", []string{dir + "good.qcow2/disk"}, exitImage, []string{dir + "good.qcow2/disk"}},
		{"empty name", []string{""}, exitUsage, []string{"name is empty"}},
		{"name of 5000 characters", []string{fmt.Sprintf("%0*d", 5000, 1)}, exitImage, nil},
		{"name with a newline", []string{dir + "one\ntwo"}, exitImage, nil},
		{"directory", []string{dir + "folder"}, exitImage, []string{dir + "folder", "directory"}},
		{"empty", []string{dir + "empty.qcow2"}, exitImage, []string{"empty"}},
		{"truncated", []string{dir + "truncated.qcow2"}, exitImage, []string{"truncated"}},
		{"truncated header", []string{dir + "stub.qcow2"}, exitImage, []string{dir + "stub.qcow2"}},
		{"text", []string{dir + "notes.txt"}, exitImage, []string{dir + "notes.txt"}},
		{"text called qcow2", []string{"--format", "qcow2", dir + "notes.txt"}, exitImage, []string{"qcow2"}},
		{"text called .raw", []string{dir + "text.raw"}, exitImage, []string{dir + "text.raw"}},
		{"qcow2 called .raw", []string{dir + "secretly.raw"}, exitImage, []string{"qcow2"}},
		{"qcow2 with --format raw", []string{"--format", "raw", dir + "good.qcow2"}, exitImage, []string{"qcow2"}},
		{"raw without saying so", []string{dir + "disk.img"}, exitImage, []string{"--format raw"}},
		{"another format", []string{dir + "machine.vmdk"}, exitImage, []string{"qemu-img convert"}},
		{"--format nonsense", []string{"--format", "vmdk", dir + "good.qcow2"}, exitUsage, []string{"--format", "qcow2", "raw"}},
		{"pipe", []string{dir + "pipe.qcow2"}, exitImage, []string{dir + "pipe.qcow2"}},
		{"socket", []string{dir + "socket.qcow2"}, exitImage, []string{dir + "socket.qcow2"}},
		{"character device", []string{"/dev/null"}, exitImage, []string{"/dev/null"}},
		{"backing file gone", []string{dir + "orphan.qcow2"}, exitImage, []string{"orphan.qcow2", "gone-base.qcow2"}},
		{"backing file outside", []string{dir + "folder/outside.qcow2"}, exitImage, []string{"/run/img/elsewhere/base.qcow2", "--allow-backing"}},
		{"second disk missing", []string{dir + "good.qcow2", "--disk", dir + "nothing.qcow2"}, exitImage, []string{"nothing.qcow2"}},
	})
	h.used(t)
	h.refuseStart(t, []refusal{
		{"same disk twice", []string{dir + "good.qcow2", "--disk", dir + "good.qcow2"}, exitImageInUse, []string{"good.qcow2"}},
	})
}

func TestBackingFileIsFollowedWhenAllowed(t *testing.T) {
	h := newHost(t)
	newDisks(t, h)
	h.startIdle(t, "/run/img/folder/outside.qcow2", "--allow-backing")
	h.startIdle(t, "/run/img/sub.qcow2", "--ephemeral")
}

func TestImagesWithoutPermission(t *testing.T) {
	h := newHost(t)
	newDisks(t, h)
	h.MustRun(t, "sh", "-ec", "cd /run/img; mkdir -m 755 ro; cp good.qcow2 ro/; mount -t tmpfs -o ro tmpfs folder; mount --bind ro ro; mount -o remount,bind,ro ro")
	h.remember(t)
	h.refuseStart(t, []refusal{
		{"on a read-only file system", []string{"/run/img/ro/good.qcow2"}, exitPermission, []string{"/run/img/ro/good.qcow2", "--ephemeral"}},
	})
	h.MustRun(t, "sh", "-ec", "umount /run/img/folder /run/img/ro")
}

func TestImageInUse(t *testing.T) {
	h := newHost(t)
	newDisks(t, h)
	h.startIdle(t, "--name", "first", "/run/img/good.qcow2")
	h.remember(t)
	h.refuseStart(t, []refusal{
		{"by a VM", []string{"--name", "second", "/run/img/good.qcow2"}, exitImageInUse, []string{"start second", "/run/img/good.qcow2", "in use", "--ephemeral"}},
		{"by a VM that writes", []string{"--name", "second", "--ephemeral", "/run/img/good.qcow2"}, exitImageInUse, []string{"in use", "--ephemeral"}},
	})
	h.MustRun(t, "kvmrun", "stop", "--force", "first")
	h.startIdle(t, "--name", "first", "--ephemeral", "/run/img/good.qcow2")
	h.startIdle(t, "--name", "second", "--ephemeral", "/run/img/good.qcow2")
}

func TestKernelsThatAreNone(t *testing.T) {
	h := newHost(t)
	newDisks(t, h)
	const dir = "/run/img/"
	h.refuseStart(t, []refusal{
		{"nothing to boot", nil, exitUsage, []string{"nothing to boot", "--kernel"}},
		{"missing", []string{"--kernel", dir + "vmlinuz"}, exitImage, []string{dir + "vmlinuz", "does not exist"}},
		{"directory", []string{"--kernel", dir + "folder"}, exitImage, []string{dir + "folder"}},
		{"empty", []string{"--kernel", dir + "empty.qcow2"}, exitImage, []string{"empty"}},
		{"pipe", []string{"--kernel", dir + "pipe.qcow2"}, exitImage, []string{"pipe.qcow2"}},
		{"initrd alone", []string{"--initrd", dir + "notes.txt"}, exitUsage, []string{"--kernel"}},
		{"initrd with a disk", []string{dir + "good.qcow2", "--initrd", dir + "notes.txt"}, exitUsage, []string{"--kernel"}},
		{"append with a disk", []string{dir + "good.qcow2", "--append", "quiet"}, exitUsage, []string{"--kernel"}},
		{"initrd missing", []string{"--kernel", dir + "notes.txt", "--initrd", dir + "initrd"}, exitImage, []string{dir + "initrd", "does not exist"}},
		{"text", []string{"--kernel", dir + "notes.txt"}, exitImage, []string{dir + "notes.txt", "not a kernel", "bzImage"}},
		{"disk image", []string{"--kernel", dir + "good.qcow2"}, exitImage, []string{dir + "good.qcow2", "not a kernel", "without --kernel"}},
	})
}

func TestUnreadableByTheUser(t *testing.T) {
	h := newHost(t)
	newDisks(t, h)
	if err := os.Chmod(h.File("/run/img/good.qcow2"), 0o600); err != nil {
		t.Fatal(err)
	}
	h.startIdle(t, "/run/img/good.qcow2") // root alone may read it, and that is enough
}
