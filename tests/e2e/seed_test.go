package e2e

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestSeed has a guest find its seed disk by the label that cloud-init looks for, and
// read there what the command line said.
func TestSeed(t *testing.T) {
	t.Parallel()
	h := newHost(t)
	userData := filepath.Join(t.TempDir(), "user.yaml")
	if err := os.WriteFile(userData, []byte("#cloud-config\npackages: [hello]\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	const key = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIHhY3pJfN0WoFcVZ4pJmI2sYv1SnkZ8OdvTzYtJv0QkE ann"
	args := append(boot(t), "--name", "web.1", "--ssh-key", key, "--login", "ann", "--user-data", userData)
	v := h.startNet(t, args...)
	got := v.seed(t)
	h.must(t, "stop", v.Name)

	var plan struct {
		Spec struct {
			HostName  string `json:"hostname"`
			FirstBoot struct {
				HostKey string `json:"host_key"`
			} `json:"first_boot"`
		}
	}
	decode(t, h.must(t, startArgs(append([]string{"--dry-run", "--json"}, args...)...)...), &plan)
	hostKey := strings.Fields(plan.Spec.FirstBoot.HostKey)
	if len(hostKey) != 3 || hostKey[2] != "web.1" {
		t.Errorf("the host key is said to be %q", plan.Spec.FirstBoot.HostKey)
	}
	for _, want := range []string{
		"== meta-data", "instance-id: " + v.UUID, "local-hostname: web-1", key,
		"== network-config", v.MAC,
		"== user-data\n#cloud-config\npackages: [hello]\n",
		"== vendor-data\n#cloud-config\n", `"name": "ann"`, "BEGIN OPENSSH PRIVATE KEY", strings.Join(hostKey, " "),
	} {
		if !strings.Contains(got, want) {
			t.Errorf("the seed disk lacks %q:\n%s", want, got)
		}
	}
	// The host's secret outlasts the VM, so that the next of its name has the same key.
	if r := h.Host.Run(t, "rm", "/var/lib/kvmrun/identity"); r.ExitCode != 0 {
		t.Errorf("the host's secret is not there: %s", r)
	}
	h.isAsBefore(t)
}

// seed is what the guest reads on the disk with the label that cloud-init looks for
// (ECMA-119, 8.4.7: the volume identifier, 40 bytes into sector 16).
func (v *vm) seed(t *testing.T) string {
	t.Helper()
	return v.sh(t, `insmod /modules/cdrom.ko; insmod /modules/isofs.ko; mkdir -p /tmp/seed
		for disk in /dev/vd?; do
			[ "$(dd if=$disk bs=1 skip=32808 count=6 2>/dev/null)" = cidata ] && mount -o ro -t iso9660 $disk /tmp/seed
		done
		cd /tmp/seed; for f in *; do echo "== $f"; cat $f; done`)
}
