package e2e

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestShare has a guest read and write in a folder of the host's, and not outside of it.
// Who serves the folder ends with QEMU, however that ends.
func TestShare(t *testing.T) {
	t.Parallel()
	h := newHost(t)
	folder, empty := filepath.Join(t.TempDir(), "with a space"), t.TempDir()
	if err := os.Mkdir(folder, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(folder, "greeting"), []byte("from the host"), 0o600); err != nil {
		t.Fatal(err)
	}
	secret := filepath.Join(filepath.Dir(folder), "secret")
	if err := os.WriteFile(secret, []byte("not shared"), 0o644); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(secret, filepath.Join(folder, "link")); err != nil {
		t.Fatal(err)
	}
	v := h.startNet(t, append(boot(t), "--share", folder+":data", "--share", empty+":empty")...)
	v.guestHas(t, "insmod /modules/fuse.ko; insmod /modules/virtiofs.ko; mkdir -p /tmp/data; mount -t virtiofs data /tmp/data; cat /tmp/data/greeting", "from the host")
	v.guestHas(t, "printf 'from the guest' >/tmp/data/answer; mkdir -p /tmp/empty; mount -t virtiofs empty /tmp/empty && ls /tmp/empty | wc -l", "0\n")
	if text, err := os.ReadFile(filepath.Join(folder, "answer")); string(text) != "from the guest" {
		t.Errorf("the guest has written %q: %v", text, err)
	}
	// The guest follows links in its own file system; what it must not have is the host's.
	if got := v.sh(t, "cat /tmp/data/link /tmp/data/../secret; mknod /tmp/data/device b 8 0"); strings.Contains(got, "not shared") {
		t.Errorf("the guest gets out of the folder: %s", got)
	}
	if info, err := os.Lstat(filepath.Join(folder, "device")); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("the guest has made a device on the host: %v, %v", info, err)
	}
	var now struct {
		Details struct {
			Shares     []struct{ PID int } `json:"shares"`
			Supervisor struct{ PID int }   `json:"supervisor"`
		} `json:"details"`
	}
	decode(t, h.must(t, "inspect", v.Name), &now)
	if len(now.Details.Shares) != 2 {
		t.Fatalf("who serves the folders: %+v", now)
	}
	h.kill(t, "KILL", now.Details.Supervisor.PID)
	h.kill(t, "KILL", v.PID)
	for _, server := range now.Details.Shares {
		h.awaitGone(t, server.PID)
	}
	h.must(t, "stop", v.Name)
	h.isAsBefore(t)
}
