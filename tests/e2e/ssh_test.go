package e2e

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"kvmrun/tests/lab"
)

// bootSSH is boot for the guest with an SSH server.
func bootSSH(t *testing.T) []string {
	t.Helper()
	return bootFrom(lab.SSHGuest(t))
}

// TestSSH logs into a guest at once, with nobody asked: by kvmrun ssh, and by ssh with
// what ssh-config prints. A guest that shows another key than the one that is known is
// refused.
func TestSSH(t *testing.T) {
	t.Parallel()
	h := newHost(t)
	own := filepath.Join(t.TempDir(), "own")
	if out, err := exec.Command("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", own).CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	args := append(bootSSH(t), "--name", "web", "--ssh-key", own+".pub", "--wait", "ssh")
	v := h.start(t, args...)

	r := h.Host.RunWith(t, lab.Run{Stdin: strings.NewReader("to the guest")}, "kvmrun", "ssh", "web", "--", "sh", "-c", `cat; echo; echo "$0 $1" >&2; exit 7`, "a  b", "$(x)")
	if r.ExitCode != 7 || r.Stdout != "to the guest\n" || r.Stderr != "a  b $(x)\n" {
		t.Errorf("a command in the guest: %s", r)
	}
	config := filepath.Join(t.TempDir(), "config")
	if err := os.WriteFile(config, []byte(h.must(t, "ssh-config")), 0o600); err != nil {
		t.Fatal(err)
	}
	if r := h.Host.Run(t, "ssh", "-F", config, "-o", "BatchMode=yes", "web", "hostname; echo $USER"); r.ExitCode != 0 || r.Stdout != "web\nroot\n" {
		t.Errorf("plain ssh: %s", r)
	}
	if got, want := h.must(t, "hosts"), v.IP+"\tweb\n"; got != want {
		t.Errorf("hosts: %q, want %q", got, want)
	}
	// The user's own key may log in, too.
	if r := h.Host.Run(t, "ssh", "-F", "none", "-o", "BatchMode=yes", "-o", "IdentitiesOnly=yes", "-i", own,
		"-o", "UserKnownHostsFile=/run/kvmrun/vms/web/known_hosts", "-o", "HostKeyAlias=web", "root@"+v.IP, "true"); r.ExitCode != 0 {
		t.Errorf("by the user's own key: %s", r)
	}

	// What ssh-config printed holds for the same VM's next boot.
	h.must(t, "restart", "--force", "web")
	h.must(t, "wait", "web", "--for", "ssh")
	if r := h.Host.Run(t, "ssh", "-F", config, "web", "true"); r.ExitCode != 0 {
		t.Errorf("plain ssh after a restart: %s", r)
	}

	// Another guest at the same address does not pass for it.
	known := filepath.Join(t.TempDir(), "known_hosts")
	if err := os.WriteFile(known, []byte(h.sh(t, "cat /run/kvmrun/vms/web/known_hosts")), 0o600); err != nil {
		t.Fatal(err)
	}
	h.must(t, "stop", "--force", "web")
	other := h.start(t, append(bootSSH(t), "--name", "other", "--cloud-init", "on", "--ip", v.IP, "--wait", "ssh")...)
	if r := h.Host.Run(t, "ssh", "-F", config, "-o", "BatchMode=yes", "-o", "UserKnownHostsFile="+known, "web", "true"); r.ExitCode != 255 || !strings.Contains(r.Stderr, "HOST IDENTIFICATION HAS CHANGED") {
		t.Errorf("a guest with another key: %s", r)
	}
	// What kvmrun has written for ssh, and somebody has changed, it writes again.
	h.must(t, "ssh-config")
	h.sh(t, "sed -i s/AAAA/BBBB/ /run/kvmrun/vms/other/known_hosts; echo x >/var/lib/kvmrun/ssh/id_ed25519")
	if r := h.Host.Run(t, "kvmrun", "ssh", "other", "--", "true"); r.ExitCode != 0 {
		t.Errorf("after its files were changed: %s", r)
	}
	h.must(t, "stop", "--force", other.Name)
	h.sh(t, "rm -r /var/lib/kvmrun/identity /var/lib/kvmrun/ssh")
	h.isAsBefore(t)
}

// TestSSHWithoutSeed: the first key that a guest shows is kept while the VM lives.
func TestSSHWithoutSeed(t *testing.T) {
	t.Parallel()
	h := newHost(t)
	h.start(t, append(bootSSH(t), "--name", "web", "--wait", "ssh")...)
	r := h.Host.Run(t, "kvmrun", "ssh", "web", "--", "true")
	if r.ExitCode != 255 || !strings.Contains(r.Stderr, "Permission denied") {
		t.Errorf("nobody may log in: %s", r)
	}
	if got := h.sh(t, "cat /run/kvmrun/vms/web/known_hosts"); !strings.HasPrefix(got, "web ssh-ed25519 ") {
		t.Errorf("what is known then: %q", got)
	}
	h.must(t, "stop", "--force", "web")
	if r := h.Host.Run(t, "kvmrun", "ssh", "web"); r.ExitCode != 3 {
		t.Errorf("of no VM: %s", r)
	}
	h.isAsBefore(t)
}
