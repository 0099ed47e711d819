package bench

import (
	"encoding/json"
	"os"
	"testing"

	"kvmrun/tests/lab"
)

// patience is how long anything may take before a benchmark gives up on it.
const patience = "100s"

// startArgs is a command line of start. The accelerator is kvmrun's choice
// unless KVMRUN_TEST_ACCEL names one.
func startArgs(args ...string) []string {
	accel := os.Getenv("KVMRUN_TEST_ACCEL")
	if accel == "" {
		accel = "auto"
	}
	return append([]string{"start", "--accel", accel, "--timeout", patience, "--memory", "128M"}, args...)
}

// booting boots the test guest by its kernel; words are added to the kernel's
// command line.
func booting(b *testing.B, words string, args ...string) []string {
	g := lab.Guest(b)
	return append(args, "--kernel", g.Kernel, "--initrd", g.Initrd,
		"--append", "console=ttyS0 mitigations=off panic=0 "+words)
}

// frozen is a VM whose processor never runs, so that it costs next to nothing.
func frozen(b *testing.B, args ...string) []string {
	return append(args, "--kernel", lab.Guest(b).Kernel, "--memory", "16M", "--", "-S")
}

// vm is what kvmrun start --json and list --json print, as far as needed here.
type vm struct {
	Name, IP, MAC, Tap string
	PID                int
}

func (h *host) start(b *testing.B, args ...string) vm {
	var v vm
	decode(b, h.MustRun(b, "kvmrun", startArgs(append([]string{"--json"}, args...)...)...), &v)
	return v
}

func (h *host) stop(b *testing.B, name string) { h.MustRun(b, "kvmrun", "stop", "--force", name) }

// plan is what kvmrun start --dry-run --json prints, as far as needed here.
type plan struct {
	Command []string // QEMU's, by names and with the descriptors of Script
	Script  string
	Spec    struct {
		Name    string
		Accel   string
		Network struct{ IP, MAC, Tap string }
	}
}

func (h *host) plan(b *testing.B, args ...string) plan {
	var p plan
	decode(b, h.MustRun(b, "kvmrun", startArgs(append([]string{"--dry-run", "--json"}, args...)...)...), &p)
	return p
}

func decode(b *testing.B, text string, v any) {
	b.Helper()
	if err := json.Unmarshal([]byte(text), v); err != nil {
		b.Fatalf("not the JSON that was expected: %v\n%s", err, text)
	}
}
