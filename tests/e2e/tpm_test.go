package e2e

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"
	"testing"

	"kvmrun/tests/lab"
)

// TestTPM gives guests a TPM, whose swtpm runs as a user of its own and ends with QEMU,
// however that ends.
func TestTPM(t *testing.T) {
	t.Parallel()
	h := newHost(t)
	v := h.startNet(t, append(boot(t), "--name", "web", "--tpm")...)
	v.guestHas(t, "cat /sys/class/tpm/tpm0/tpm_version_major", "2\n")
	web := h.inspectTPM(t, "web")
	status := h.status(t, web.Details.TPM.PID)
	uid := fmt.Sprint(web.Spec.TPM.RunAs.UID)
	if strings.Fields(status["Uid"])[0] != uid || uid == fmt.Sprint(web.Spec.RunAs.UID) || status["CapEff"] != strings.Repeat("0", 16) || status["NoNewPrivs"] != "1" {
		t.Errorf("swtpm is user %s, with capabilities %s and no_new_privs %s; it should be %s, and QEMU is %d",
			status["Uid"], status["CapEff"], status["NoNewPrivs"], uid, web.Spec.RunAs.UID)
	}
	// All that could look after it is killed: the kernel closes what QEMU had open.
	h.kill(t, "KILL", web.Details.Supervisor.PID)
	h.kill(t, "KILL", v.PID)
	h.awaitGone(t, web.Details.TPM.PID)
	h.must(t, "stop", "web")

	// A guest outlasts its TPM, and that is told.
	h.start(t, frozen(t, "--name", "db", "--tpm")...)
	h.kill(t, "KILL", h.inspectTPM(t, "db").Details.TPM.PID)
	lab.Eventually(t, patience, func() error {
		if events := h.Host.MustRun(t, "kvmrun", "events", "db"); !strings.Contains(events, `"tpm-ended"`) {
			return fmt.Errorf("the events are %s", events)
		}
		return nil
	})
	h.must(t, "stop", "--force", "db")
	h.isAsBefore(t)
}

// withTPM is what kvmrun inspect says of a TPM.
type withTPM struct {
	Spec struct {
		RunAs struct{ UID int } `json:"run_as"`
		TPM   struct {
			RunAs struct{ UID int } `json:"run_as"`
		} `json:"tpm"`
	} `json:"spec"`
	Details struct {
		TPM        struct{ PID int } `json:"tpm"`
		Supervisor struct{ PID int } `json:"supervisor"`
	} `json:"details"`
}

func (h *host) inspectTPM(t *testing.T, name string) (d withTPM) {
	t.Helper()
	decode(t, h.must(t, "inspect", name), &d)
	if d.Details.TPM.PID == 0 {
		t.Fatalf("%s has no swtpm: %+v", name, d)
	}
	return d
}

// awaitGone waits until a process of the host has ended.
func (h *host) awaitGone(t *testing.T, pid int) {
	t.Helper()
	lab.Eventually(t, patience, func() error {
		text, err := os.ReadFile(h.Host.File(fmt.Sprintf("/proc/%d/stat", pid)))
		if errors.Is(err, fs.ErrNotExist) || err == nil && strings.Contains(string(text), ") Z ") {
			return nil
		}
		return fmt.Errorf("process %d is there: %s %w", pid, text, err)
	})
}
