package e2e

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"kvmrun/tests/lab"
)

// TestDryRunScript runs what --dry-run prints on another host and finds the
// same VM there.
func TestDryRunScript(t *testing.T) {
	t.Parallel()
	disk := func(t *testing.T) string { return lab.Guest(t).CopyDisk(t) }
	const onlyRootMayOpenTun, seeded = "tun of root's alone", "seed disk"
	for name, args := range map[string]func(*testing.T) []string{
		onlyRootMayOpenTun: func(t *testing.T) []string { return boot(t) },
		"disk":             func(t *testing.T) []string { return []string{disk(t)} },
		"ephemeral":        func(t *testing.T) []string { return []string{disk(t), "--ephemeral"} },
		"kernel":           func(t *testing.T) []string { return boot(t) },
		"devices": func(t *testing.T) []string {
			return []string{disk(t), "--firmware", "uefi", "--memory", "256M", "--vnc", "--tpm", "--share", t.TempDir() + ":data"}
		},
		seeded:           func(t *testing.T) []string { return append(boot(t), "--cloud-init", "on") },
		"address of LAN": func(t *testing.T) []string { return append(boot(t), "--ip", "192.0.2.77") },
		"without DHCP": func(t *testing.T) []string {
			static := "guest.ip=static:10.254.254.2/24,10.254.254.1"
			return append(boot(t, static), "--dhcp", "off", "--proxy-arp", "interface", "--net-form", "net")
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			args := append(args(t), "--name", "web")
			planned, byHand := newHost(t), newHost(t)
			if name == onlyRootMayOpenTun {
				planned.sh(t, "chmod 600 /dev/net/tun")
				byHand.sh(t, "chmod 600 /dev/net/tun")
			}
			script := planned.must(t, startArgs(append(args, "--dry-run")...)...)
			planned.nothingHappened(t)
			var plan struct {
				Spec struct {
					Network struct{ IP, MAC string } `json:"network"`
				} `json:"spec"`
			}
			decode(t, planned.must(t, startArgs(append(args, "--dry-run", "--json")...)...), &plan)
			planned.nothingHappened(t)
			planned.Kill()

			path := filepath.Join(t.TempDir(), "by-hand.sh")
			if err := os.WriteFile(path, []byte(script), 0o644); err != nil {
				t.Fatal(err)
			}
			p := byHand.Host.Start(t, "bash", path)
			v := &vm{Name: "web", IP: plan.Spec.Network.IP, MAC: plan.Spec.Network.MAC, host: byHand}
			defer func() {
				if t.Failed() {
					t.Logf("the script:\n%s\nprinted %s%s", script, p.Stdout, p.Stderr)
				}
			}()
			v.reachedFrom(t, byHand.LAN)
			v.guestHas(t, "cat /sys/class/net/eth0/address", v.MAC)
			v.reaches(t, lab.LANAddress)
			if name == seeded {
				if got := v.seed(t); !strings.Contains(got, "local-hostname: web\n") || !strings.Contains(got, "#cloud-config\n") {
					t.Errorf("the seed disk has:\n%s", got)
				}
			}
			v.poweroff(t)
			if r := p.Wait(t, patience); r.ExitCode != 0 {
				t.Errorf("the script failed: %s", r)
			}
			byHand.isAsBefore(t)
		})
	}
}

// nothingHappened checks that the host is as before to the last file.
func (h *host) nothingHappened(t *testing.T) {
	t.Helper()
	if diff := h.before.Diff(h.Host.Snapshot(t)); diff != "" {
		t.Errorf("--dry-run has changed something:\n%s", diff)
	}
}

// An interrupted script undoes what it did, too.
func TestDryRunScriptIsInterrupted(t *testing.T) {
	t.Parallel()
	h := newHost(t)
	script := h.must(t, startArgs(append(boot(t), "--name", "web", "--dry-run")...)...)
	path := filepath.Join(t.TempDir(), "by-hand.sh")
	if err := os.WriteFile(path, []byte(script), 0o644); err != nil {
		t.Fatal(err)
	}
	p := h.Host.Start(t, "setsid", "bash", path)
	(&vm{Name: "web", IP: "10.254.254.2", host: h}).reachedFrom(t, h.LAN)
	// To the whole group, as a terminal's Ctrl-C.
	if err := unix.Kill(-p.PID, unix.SIGINT); err != nil {
		t.Fatal(err)
	}
	p.Wait(t, patience)
	h.turnsAsBefore(t)
}

// A script that is ended by SIGTERM, to itself alone, ends QEMU first.
func TestDryRunScriptIsTerminated(t *testing.T) {
	t.Parallel()
	h := newHost(t)
	script := h.must(t, startArgs(append(boot(t), "--name", "web", "--dry-run")...)...)
	path := filepath.Join(t.TempDir(), "by-hand.sh")
	if err := os.WriteFile(path, []byte(script), 0o644); err != nil {
		t.Fatal(err)
	}
	p := h.Host.Start(t, "bash", path)
	(&vm{Name: "web", IP: "10.254.254.2", host: h}).reachedFrom(t, h.LAN)
	p.Signal(t, unix.SIGTERM)
	if r := p.Wait(t, patience); r.ExitCode != 143 {
		t.Errorf("got %s, want status 143", r)
	}
	h.isAsBefore(t)
}

// The status of a script is QEMU's.
func TestDryRunScriptOfQEMUThatFails(t *testing.T) {
	t.Parallel()
	h := newHost(t)
	script := h.must(t, startArgs(append(boot(t), "--name", "web", "--dry-run", "--", "-device", "no-such-thing")...)...)
	path := filepath.Join(t.TempDir(), "by-hand.sh")
	if err := os.WriteFile(path, []byte(script), 0o644); err != nil {
		t.Fatal(err)
	}
	if r := h.Host.Run(t, "bash", path); r.ExitCode != 1 || !strings.Contains(r.Stderr, "no-such-thing") {
		t.Errorf("got %s, want QEMU's status", r)
	}
	h.isAsBefore(t)
}

func TestDryRunScriptPassesShellcheck(t *testing.T) {
	t.Parallel()
	program, err := exec.LookPath("shellcheck")
	if err != nil {
		t.Skip("skipped: shellcheck is not installed (apt install shellcheck)")
	}
	h := newHost(t)
	for _, args := range [][]string{
		boot(t),
		{lab.BlankDisk(t, "raw"), "--disk", lab.BlankDisk(t, "qcow2"), "--dhcp", "off"},
		append(boot(t), "--uplink", "none"),
		append(boot(t, "a 'quote' and $HOME"), "--ephemeral"),
	} {
		script := h.must(t, startArgs(append(args, "--dry-run")...)...)
		check := exec.Command(program, "--severity=warning", "-")
		check.Stdin = strings.NewReader(script)
		if out, err := check.CombinedOutput(); err != nil {
			t.Errorf("shellcheck of --dry-run %q: %v\n%s", args, err, out)
		}
	}
}
