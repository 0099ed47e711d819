package e2e

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"kvmrun/netplumb/arp"
	"kvmrun/tests/lab"
)

// awaitConflict waits until list shows that a rival claims the VM's address.
func (h *host) awaitConflict(t *testing.T, name string) vm {
	t.Helper()
	var found vm
	lab.Eventually(t, patience, func() error {
		vms := h.list(t)
		i := slices.IndexFunc(vms, func(v vm) bool { return v.Name == name })
		if i < 0 || vms[i].Conflict == nil {
			return fmt.Errorf("%s has no conflict: %+v", name, vms)
		}
		found = vms[i]
		return nil
	})
	return found
}

// isDefended waits until a machine of the LAN that makes sure that nobody has the
// address hears that this host does.
func (h *host) isDefended(t *testing.T, address string) {
	t.Helper()
	uplink := macOf(t, h.Host)
	lab.Eventually(t, patience, func() error {
		r := h.Peers[0].Run(t, "busybox", "arping", "-D", "-f", "-c", "1", "-w", "1", "-I", "eth0", address)
		if !strings.Contains(r.Stdout, uplink) {
			return fmt.Errorf("nobody answers a probe: %s", r)
		}
		return nil
	})
}

// TestNewcomerIsRefused has another machine of the LAN make sure that nobody has
// the address before it takes it: by its own means, and as a host of kvmrun's.
func TestNewcomerIsRefused(t *testing.T) {
	t.Parallel()
	const address = "192.0.2.77"
	h := newHost(t, lab.LANPeers(1))
	h.start(t, frozen(t, "--name", "web", "--ip", address)...)
	h.isDefended(t, address)
	other := &host{Lab: &lab.Lab{Host: h.Peers[0]}}
	other.sh(t, "ip route add default via "+lab.LANAddress)
	if said := other.fails(t, 9, startArgs(frozen(t, "--ip", address)...)...); !strings.Contains(said, address+" is used by "+macOf(t, h.Host)) {
		t.Errorf("another host is told %q", said)
	}
	if v := h.list(t)[0]; v.Conflict != nil {
		t.Errorf("who asks first counts as a rival: %+v", v.Conflict)
	}
	h.must(t, "stop", "--force", "web")
	h.isAsBefore(t)
}

// TestRenamedUplinkIsDefended by a supervisor that never knew its old name.
func TestRenamedUplinkIsDefended(t *testing.T) {
	t.Parallel()
	const address = "192.0.2.77"
	h := newHost(t, lab.LANPeers(1))
	uplink := macOf(t, h.Host)
	rename := func(from, to string) {
		h.sh(t, "ip link set "+from+" down; ip link set "+from+" name "+to+"; ip link set "+to+" up; ip route add default via "+lab.LANAddress)
	}
	h.start(t, frozen(t, "--name", "web", "--ip", address)...)
	h.killSupervisor(t, "web")
	rival := listenARP(t, h.Peers[0])
	rename("eth0", "wan0")
	h.must(t, "adopt", "web")
	rival.hear(t, "an announcement", func(p arp.Packet) bool {
		return isAnnouncement(address)(p) && p.SenderMAC.String() == uplink
	})
	lab.Eventually(t, patience, func() error {
		rival.ask(t, address, lab.LANAddress)
		if h.list(t)[0].Conflict == nil {
			return fmt.Errorf("nobody has noticed a rival")
		}
		return nil
	})
	h.must(t, "stop", "--force", "web")
	rename("wan0", "eth0")
	h.turnsAsBefore(t) // the carrier and the IPv6 address take a moment
}

// TestConflict has a machine of the LAN claim a VM's address: it is told off, and
// everybody is told of it. An address that is not the LAN's is nobody's there.
func TestConflict(t *testing.T) {
	t.Parallel()
	const address = "192.0.2.77"
	h := newHost(t, lab.LANPeers(1))
	rival, uplink := listenARP(t, h.Peers[0]), macOf(t, h.Host)
	h.start(t, frozen(t, "--name", "web", "--ip", address)...)
	behind := h.start(t, frozen(t, "--name", "behind")...)
	if bad := h.check(t, 0); len(bad) > 0 {
		t.Errorf("before: %+v", bad)
	}
	rival.ask(t, behind.IP, lab.LANAddress)
	var v vm
	lab.Eventually(t, patience, func() error {
		// A supervisor may not yet listen when start returns.
		rival.ask(t, address, lab.LANAddress)
		for _, listed := range h.list(t) {
			if listed.Conflict != nil {
				v = listed
				return nil
			}
		}
		return fmt.Errorf("nobody has noticed a rival")
	})
	if v.Name != "web" || v.Conflict.MAC != rival.mac.String() || v.Conflict.Since.IsZero() {
		t.Errorf("listed: %s has a conflict %+v with, want web and %s", v.Name, v.Conflict, rival.mac)
	}
	// Twice because the VM is new, and once against the rival, however often that
	// one has claimed it.
	announced := 0
	rival.hear(t, "a defence", func(p arp.Packet) bool {
		if isAnnouncement(address)(p) && p.SenderMAC.String() == uplink {
			announced++
		}
		return announced == 3
	})
	if table := h.must(t, "list"); !strings.Contains(table, "\nweb: "+rival.mac.String()+" on the LAN claims "+address+", too, since 2") {
		t.Errorf("the table does not tell of the conflict:\n%s", table)
	}
	if d := h.inspect(t, "web"); d.Conflict == nil || d.Conflict.MAC != v.Conflict.MAC {
		t.Errorf("inspect tells of %+v", d.Conflict)
	}
	event := fmt.Sprintf(`"event":"conflict","data":{"ip":%q,"mac":%q}`, address, v.Conflict.MAC)
	if events := h.must(t, "events", "web"); strings.Count(events, event) != 1 {
		t.Errorf("not one event %s:\n%s", event, events)
	}
	bad := h.check(t, 15)
	if len(bad) != 1 || bad[0].VM != "web" || bad[0].Name != "address "+address || !strings.Contains(bad[0].Have, v.Conflict.MAC) {
		t.Errorf("host check: %+v", bad)
	}
	h.must(t, "stop", "--all", "--force")
	h.isAsBefore(t)
}
