package e2e

import (
	"fmt"
	"testing"

	"kvmrun/tests/lab"
)

// TestLateBurial has a VM's address become another's before the VM is buried, as
// when its supervisor was killed right after it had given the address back: what
// the host does for the address is done for the other.
func TestLateBurial(t *testing.T) {
	t.Parallel()
	const address = "10.254.254.50"
	h := newHost(t)
	first := h.start(t, frozen(t, "--name", "first", "--ip", address)...)
	h.killAll(t, first)
	h.sh(t, "cp -a /run/kvmrun/vms/first /run/first")
	h.must(t, "stop", "first")
	h.start(t, frozen(t, "--name", "second", "--ip", address, "--no-repair")...)
	running := h.Host.Snapshot(t).Without("files")
	h.sh(t, "mv /run/first /run/kvmrun/vms/first")
	if found := h.gc(t); !has(found, "VM first", "bury") {
		t.Errorf("not buried: %+v", found)
	}
	if states := h.list(t, "-a"); len(states) != 2 || states[0].State != "failed" || states[1].State != "paused" {
		t.Errorf("listed: %+v", states)
	}
	h.must(t, "stop", "first")
	if change := running.Diff(h.Host.Snapshot(t).Without("files")); change != "" {
		t.Errorf("the burial has changed the host:\n%s", change)
	}
	h.must(t, "stop", "--force", "second")
	h.isAsBefore(t)
}

// TestLeasesAreRemoved from under VMs that run: whoever cleans up meanwhile takes
// nothing from them, and soon the leases are there again.
func TestLeasesAreRemoved(t *testing.T) {
	t.Parallel()
	h := newHost(t)
	h.start(t, frozen(t, "--name", "web", "--no-repair")...)
	supervisor := h.supervisor(t, "web")
	running := h.Host.Snapshot(t)
	h.kill(t, "STOP", supervisor)
	h.sh(t, "mkdir /run/held; mv /run/kvmrun/leases/* /run/held")
	h.must(t, "gc", "--unrecorded")
	h.sh(t, "mv /run/held/* /run/kvmrun/leases; rmdir /run/held")
	if change := running.Diff(h.Host.Snapshot(t)); change != "" {
		t.Errorf("gc has taken what is the VM's:\n%s", change)
	}
	h.sh(t, "rm /run/kvmrun/leases/*")
	h.kill(t, "CONT", supervisor)
	lab.Eventually(t, patience, func() error {
		if change := running.Diff(h.Host.Snapshot(t)); change != "" {
			return fmt.Errorf("the leases are not back: %s", change)
		}
		return nil
	})
	h.must(t, "stop", "--force", "web")
	h.isAsBefore(t)
}
