package badinput

import (
	"errors"
	"os"
	"path/filepath"
	"testing"
	"time"

	"kvmrun/tests/lab"
)

// The exit statuses, as the help lists them. They are written down here once
// more because scripts rely on them.
const (
	exitInternal   = 1
	exitUsage      = 2
	exitNotFound   = 3
	exitExists     = 4
	exitPermission = 5
	exitHost       = 6
	exitImage      = 7
	exitImageInUse = 8
	exitAddress    = 9
	exitNetwork    = 10
	exitQEMU       = 11
	exitStorage    = 13
)

// host is a lab's host and what it looked like before anything was done.
type host struct {
	*lab.World
	before lab.Snapshot
}

// newHost makes a host on which kvmrun has not been used yet.
func newHost(t *testing.T, opts ...lab.Option) *host {
	t.Helper()
	h := &host{World: lab.New(t, opts...).Host}
	h.remember(t)
	return h
}

// remember takes the host as it is now for what it must be like again.
func (h *host) remember(t *testing.T) {
	t.Helper()
	h.before = h.Snapshot(t)
}

// used makes what kvmrun keeps for good in its directories once a VM has got as
// far as needing them.
func (h *host) used(t *testing.T) {
	t.Helper()
	h.MustRun(t, "sh", "-ec", `
		mkdir -p /run/kvmrun/vms /run/kvmrun/leases /run/kvmrun/net /var/lib/kvmrun/overlays
		touch /run/kvmrun/lock /run/kvmrun/net/lock
	`)
	h.remember(t)
}

// unchanged fails the test if the host is not as it was. Processes may take a
// moment to be reaped; everything else must be in order at once.
func (h *host) unchanged(t *testing.T) {
	t.Helper()
	if diff := h.before.Without("processes").Diff(h.Snapshot(t).Without("processes")); diff != "" {
		t.Errorf("the host is not as before:\n%s", head(diff))
	}
	h.quiet(t)
}

// head is the beginning of a long text.
func head(text string) string {
	const most = 1500
	if len(text) > most {
		return text[:most] + "…"
	}
	return text
}

// quiet waits until the processes are those of before.
func (h *host) quiet(t *testing.T) {
	t.Helper()
	lab.Eventually(t, 5*time.Second, func() error {
		before := lab.Snapshot{"processes": h.before["processes"]}
		now := lab.Snapshot{"processes": h.Snapshot(t)["processes"]}
		if diff := before.Diff(now); diff != "" {
			return errors.New(head(diff))
		}
		return nil
	})
}

// write makes a file in the host's own /run and returns its path there.
func (h *host) write(t *testing.T, name string, content []byte) string {
	t.Helper()
	path := filepath.Join("/run", name)
	if err := os.MkdirAll(filepath.Dir(h.File(path)), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(h.File(path), content, 0o644); err != nil {
		t.Fatal(err)
	}
	return path
}

// small are flags for a VM that starts quickly and says nothing unasked: no
// look for KVM, little memory.
var small = []string{"start", "--accel", "tcg", "--memory", "64M"}

// idle makes QEMU wait for a command before the guest's first instruction.
var idle = []string{"--", "-S"}

// startIdle starts a VM whose guest never runs.
func (h *host) startIdle(t *testing.T, args ...string) {
	t.Helper()
	h.MustRun(t, "kvmrun", concat(small, args, idle)...)
	t.Cleanup(func() { h.Run(t, "kvmrun", "stop", "--force", "--all") })
}

// concat joins lists into a new one.
func concat(lists ...[]string) []string {
	var all []string
	for _, list := range lists {
		all = append(all, list...)
	}
	return all
}
