package e2e

import (
	"strconv"
	"strings"
	"testing"
)

// TestQEMUHasNoPrivileges reads from /proc what QEMU's process may do.
func TestQEMUHasNoPrivileges(t *testing.T) {
	t.Parallel()
	h := newHost(t)
	a, b := h.start(t, frozen(t)...), h.start(t, frozen(t)...)
	for _, v := range []*vm{a, b} {
		status := h.status(t, v.PID)
		for field, want := range map[string]string{
			"CapInh": "0000000000000000", "CapPrm": "0000000000000000",
			"CapEff": "0000000000000000", "CapAmb": "0000000000000000",
			"NoNewPrivs": "1", "Seccomp": "2", "Groups": h.kvmGroup(t),
		} {
			if status[field] != want {
				t.Errorf("%s of %s's QEMU is %q, want %q", field, v.Name, status[field], want)
			}
		}
		spec := h.inspect(t, v.Name).Spec.RunAs
		if spec.UID == 0 || spec.GID == 0 || status["Uid"] != fourTimes(spec.UID) || status["Gid"] != fourTimes(spec.GID) {
			t.Errorf("QEMU of %s runs as %s:%s, inspect says %+v", v.Name, status["Uid"], status["Gid"], spec)
		}
	}
	if h.status(t, a.PID)["Uid"] == h.status(t, b.PID)["Uid"] {
		t.Error("two VMs run as the same user")
	}
	h.must(t, "stop", "--all", "--force")
	h.isAsBefore(t)
}

// kvmGroup is QEMU's one supplementary group, as /proc/PID/status shows it: that
// of /dev/kvm, unless nobody needs it.
func (h *host) kvmGroup(t *testing.T) string {
	t.Helper()
	if accel() != "kvm" {
		return ""
	}
	mode, group, _ := strings.Cut(strings.TrimSpace(h.sh(t, "stat -c '%a %g' /dev/kvm")), " ")
	if strings.HasSuffix(mode, "6") { // everybody may open it
		return ""
	}
	return group
}

func TestRunAs(t *testing.T) {
	t.Parallel()
	h := newHost(t)
	v := h.startNet(t, append(boot(t), "--run-as", "12345:54321")...)
	if status := h.status(t, v.PID); status["Uid"] != fourTimes(12345) || status["Gid"] != fourTimes(54321) {
		t.Errorf("QEMU runs as %s:%s", status["Uid"], status["Gid"])
	}
	v.reachedFrom(t, h.LAN)
	h.must(t, "stop", v.Name)
	for _, bad := range []string{"0", "0:0", "1000:0", "-1", "root", "4294967295"} {
		h.fails(t, 2, startArgs(frozen(t, "--run-as", bad)...)...)
	}
	h.isAsBefore(t)
}

// fourTimes is how /proc/PID/status shows real, effective, saved and file
// system IDs that are all the same.
func fourTimes(id int) string {
	return strings.TrimSpace(strings.Repeat(strconv.Itoa(id)+" ", 4))
}
