package reality

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"kvmrun/tests/lab"
)

// debian is the file of the image that make has had built.
func debian(t *testing.T, on *lab.World) string {
	t.Helper()
	data, err := filepath.Abs("../../build/debian")
	if err != nil {
		t.Fatal(err)
	}
	r := on.Run(t, "kvmrun", "--data-dir", data, "image", "path", "debian")
	if r.ExitCode != 0 {
		t.Fatalf("make build/debian/images/names/debian.json has it built: %s", r)
	}
	return strings.TrimSpace(r.Stdout)
}

// TestDebian boots a real Debian by BIOS, with a seed, into what it was told to be.
func TestDebian(t *testing.T) {
	t.Parallel()
	l := lab.New(t)
	run := func(args ...string) string {
		t.Helper()
		r := l.Host.RunWith(t, lab.Run{Timeout: 6 * time.Minute}, "kvmrun", args...)
		if r.ExitCode != 0 {
			t.Fatalf("%s\n%s", r, l.Host.Run(t, "kvmrun", "logs", "web").Stdout)
		}
		return r.Stdout
	}
	image := debian(t, l.Host)
	began := time.Now()
	run("start", image, "--accel", accel(), "--name", "web", "--ephemeral", "--disk-size", "4G", "--memory", "512M", "--cpus", "2",
		"--hostname", "www", "--login", "ann", "--wait", "ssh", "--timeout", "5m")
	t.Logf("SSH after %v", time.Since(began).Round(time.Second))
	run("wait", "web", "--for", "cloud-init", "--timeout", "3m")
	t.Logf("cloud-init done after %v", time.Since(began).Round(time.Second))
	for command, want := range map[string]string{
		"hostname":                               "www",
		"id -un":                                 "ann",
		"sudo -n id -un":                         "root",
		"cloud-init status":                      "status: done",
		"systemctl is-active qemu-guest-agent":   "active",
		"findmnt -no FSTYPE /":                   "ext4",
		"sudo passwd --status root | cut -c 1-6": "root L",
		"test -s /etc/machine-id && echo yes":    "yes",
		"ls /etc/ssh/ssh_host_*_key | wc -l":     "1",
		"[ $(df --output=size -BM / | tail -1 | tr -dc 0-9) -gt 3500 ] && echo grown": "grown",
	} {
		if got := strings.TrimSpace(run("ssh", "web", "--", "sh", "-c", command)); got != want {
			t.Errorf("%s: %q, want %q", command, got, want)
		}
	}
	// The agent of Debian's package, and files by way of SSH.
	run("wait", "web", "--for", "agent", "--timeout", "1m")
	if got := run("exec", "web", "--by", "agent", "--", "id", "-un"); got != "root\n" {
		t.Errorf("by the agent: %q", got)
	}
	run("cp", "/etc/services", "web:copy")
	run("cp", "web:copy", "/run/copy")
	if r := l.Host.Run(t, "cmp", "/etc/services", "/run/copy"); r.ExitCode != 0 {
		t.Errorf("copied there and back: %s", r)
	}
	ip := strings.TrimSpace(run("ssh", "web", "--", "sh", "-c", "ip -4 -br address show scope global | awk '{print $3}'"))
	address, _, _ := strings.Cut(ip, "/")
	if r := l.LAN.Run(t, "ping", "-c", "1", "-W", "5", address); r.ExitCode != 0 {
		t.Errorf("from the LAN: %s", r)
	}
	run("stop", "web", "--timeout", "90s")
	t.Logf("stopped after %v", time.Since(began).Round(time.Second))
}

func accel() string {
	if name := os.Getenv("KVMRUN_TEST_ACCEL"); name != "" {
		return name
	}
	return "tcg"
}
