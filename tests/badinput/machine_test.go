package badinput

import (
	"os"
	"strings"
	"testing"
)

func TestNotRoot(t *testing.T) {
	h := newHost(t)
	newDisks(t, h)
	kvmrun := h.userCopy(t)
	unprivileged := func(c refusal) {
		t.Helper()
		t.Run(c.name, func(t *testing.T) {
			c.check(t, h.Run(t, "setpriv", concat([]string{"--reuid=65534", "--regid=65534", "--clear-groups", kvmrun}, c.args)...))
			h.unchanged(t)
		})
	}
	const disk = "/run/img/good.qcow2"
	unprivileged(refusal{"start", []string{"start", disk}, exitPermission, []string{"start", "root", "sudo"}})
	unprivileged(refusal{"stop", []string{"stop", "web"}, exitPermission, []string{"stop web", "root", "sudo"}})
	h.startIdle(t, disk, "--name", "web")
	if err := os.Chmod(h.File("/run/img/full.qcow2"), 0o600); err != nil {
		t.Fatal(err)
	}
	h.remember(t)
	for _, c := range []refusal{
		{"inspect a VM", []string{"inspect", "web"}, exitPermission, []string{"web", "sudo"}},
		{"logs of a VM", []string{"logs", "web"}, exitPermission, []string{"web", "sudo"}},
		{"events of a VM", []string{"events", "web"}, exitPermission, []string{"web", "sudo"}},
		{"console of a VM", []string{"console", "web"}, exitPermission, []string{"web", "sudo"}},
		{"qmp to a VM", []string{"qmp", "web", "quit"}, exitPermission, []string{"web", "sudo"}},
		{"stop a VM", []string{"stop", "--force", "web"}, exitPermission, []string{"web", "sudo"}},
		{"stop all VMs", []string{"stop", "--all"}, exitPermission, []string{"sudo"}},
		{"list", []string{"list"}, exitPermission, []string{"sudo"}},
		{"dry run on a secret image", []string{"start", "--dry-run", "/run/img/full.qcow2"}, exitPermission, []string{"/run/img/full.qcow2"}},
	} {
		unprivileged(c)
	}
	if left := strings.TrimSpace(h.MustRun(t, "kvmrun", "list", "-q")); left != "web" {
		t.Errorf("the VM is gone: %q", left)
	}
}

// userCopy puts kvmrun where any user may execute it.
func (h *host) userCopy(t *testing.T) string {
	t.Helper()
	h.MustRun(t, "sh", "-c", `cp "$(command -v kvmrun || echo "$0")" /run/kvmrun-binary && chmod 755 /run/kvmrun-binary`, binary(t))
	h.remember(t)
	return "/run/kvmrun-binary"
}

func TestNoTun(t *testing.T) {
	h := newHost(t)
	newDisks(t, h)
	h.used(t)
	h.MustRun(t, "mount", "-t", "tmpfs", "tmpfs", "/dev/net")
	h.remember(t)
	h.refuseStart(t, []refusal{
		{"device missing", []string{"/run/img/good.qcow2"}, exitHost, []string{"start good", "/dev/net/tun", "modprobe tun"}},
	})
	h.MustRun(t, "mknod", "/dev/net/tun", "c", "10", "255")
	h.refuseStart(t, []refusal{
		{"no driver behind it", []string{"/run/img/good.qcow2"}, exitHost, []string{"/dev/net/tun"}},
	})
}

func TestInterfaceOfTheTapsName(t *testing.T) {
	h := newHost(t)
	newDisks(t, h)
	h.used(t)
	h.MustRun(t, "ip", "tuntap", "add", "mode", "tap", "name", "kr-web")
	h.remember(t)
	h.refuseStart(t, []refusal{
		{"somebody else's", []string{"/run/img/good.qcow2", "--name", "web"}, exitNetwork, []string{"start web", "kr-web"}},
	})
}
