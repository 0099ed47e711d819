package e2e

import (
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"kvmrun/netplumb/arp"
	"kvmrun/tests/lab"
)

// TestAddressThatARivalHas asks for an address that another machine of the LAN
// has: it is named, and nothing stays. kvmrun can be told not to ask.
func TestAddressThatARivalHas(t *testing.T) {
	t.Parallel()
	const address = "192.0.2.77"
	h := newHost(t, lab.LANPeers(1))
	h.Peers[0].MustRun(t, "ip", "address", "add", address+"/24", "dev", "eth0")
	rival := macOf(t, h.Peers[0])
	message := h.fails(t, 9, startArgs(frozen(t, "--name", "web", "--ip", address)...)...)
	want := fmt.Sprintf("start web: address %s is used by %s, which answers on eth0; choose another with --ip\n", address, rival)
	if message != want {
		t.Errorf("it says %q, want %q", message, want)
	}
	h.isAsBefore(t)
	if left := h.list(t, "-a"); len(left) > 0 {
		t.Errorf("listed still: %+v", left)
	}
	h.must(t, startArgs(frozen(t, "--dry-run", "--ip", address)...)...)
	for _, flag := range []string{"--no-probe", "--proxy-arp=off"} {
		h.start(t, frozen(t, "--name", "web", "--ip", address, flag)...)
		h.must(t, "stop", "--force", "web")
	}
	h.isAsBefore(t)
}

// TestAddressesThatRivalsHaveAreLeftOut chooses from a part of the LAN in which
// others live, too.
func TestAddressesThatRivalsHaveAreLeftOut(t *testing.T) {
	t.Parallel()
	h := newHost(t, lab.LANPeers(1))
	for _, taken := range []string{"192.0.2.65", "192.0.2.66", "192.0.2.68"} {
		h.Peers[0].MustRun(t, "ip", "address", "add", taken+"/24", "dev", "eth0")
	}
	r := h.run(t, startArgs(frozen(t, "--name", "a", "--subnet", "192.0.2.64/28")...)...)
	if r.ExitCode != 0 || strings.Count(r.Stderr, "taking the next one") != 2 || !strings.Contains(r.Stderr, "192.0.2.66 is used by ") {
		t.Errorf("two rivals are not told: %s", r)
	}
	h.start(t, frozen(t, "--name", "b", "--subnet", "192.0.2.64/28")...)
	for i, v := range h.list(t) {
		address, mac := []string{"192.0.2.67", "192.0.2.69"}[i], []string{"52:54:c0:00:02:43", "52:54:c0:00:02:45"}[i]
		if v.IP != address || v.MAC != mac {
			t.Errorf("%s has %s and %s, want %s and %s", v.Name, v.IP, v.MAC, address, mac)
		}
	}
	if leases := h.sh(t, "cd /run/kvmrun/leases; ls -d ip-*"); strings.Fields(leases)[0] != "ip-192.0.2.67" {
		t.Errorf("leases of addresses that rivals have:\n%s", leases)
	}
	h.must(t, "stop", "--all", "--force")
	h.isAsBefore(t)
}

// A LAN that cannot be asked is not waited for, and that is said.
func TestUplinkWithoutCarrier(t *testing.T) {
	t.Parallel()
	h := newHost(t)
	h.LAN.MustRun(t, "ip", "link", "set", "eth0", "down")
	lab.Eventually(t, patience, func() error {
		if state := h.Host.MustRun(t, "ip", "link", "show", "dev", "eth0"); !strings.Contains(state, "NO-CARRIER") {
			return fmt.Errorf("the uplink has a carrier still: %s", state)
		}
		return nil
	})
	h.before = h.Host.Snapshot(t)
	r := h.run(t, startArgs(frozen(t, "--ip", "192.0.2.77")...)...)
	if r.ExitCode != 0 || !strings.Contains(r.Stderr, "eth0 is down or has no carrier") {
		t.Errorf("without a carrier: %s", r)
	}
	h.must(t, "stop", "--all", "--force")
	h.isAsBefore(t)
}

// frozenProbe starts a VM at an address of the LAN and stops the command, by
// SIGSTOP, while it probes.
func (h *host) frozenProbe(t *testing.T, name, address string) *lab.Process {
	t.Helper()
	wire := listenARP(t, h.LAN)
	for range 5 {
		p := h.Host.Start(t, "kvmrun", startArgs(frozen(t, "--name", name, "--ip", address)...)...)
		wire.hear(t, "a probe for "+address, isProbe(address))
		p.Signal(t, unix.SIGSTOP)
		if _, err := os.Stat(h.Host.File("/run/kvmrun/vms/" + name + "/state.json")); err != nil {
			return p
		}
		// This machine was so busy that the probe was over first.
		p.Signal(t, unix.SIGCONT)
		p.Wait(t, patience)
		h.must(t, "stop", "--force", name)
	}
	t.Fatal("the command could not be stopped while it probes")
	return nil
}

// TestProbesHoldUpNobody stops one start in the middle of its probe: ten others
// begin and end meanwhile, and none takes its name or address. Each has asked
// for its address three times.
func TestProbesHoldUpNobody(t *testing.T) {
	t.Parallel()
	h := newHost(t)
	slow := h.frozenProbe(t, "slow", "192.0.2.77")
	wire := listenARP(t, h.LAN)
	var starts []*lab.Process
	for i := range 10 {
		starts = append(starts, h.Host.Start(t, "kvmrun", startArgs(frozen(t, "--ip", fmt.Sprintf("192.0.2.%d", 100+i))...)...))
	}
	for _, p := range starts {
		if r := p.Wait(t, 3*patience); r.ExitCode != 0 {
			t.Errorf("one of ten: %s", r)
		}
	}
	h.fails(t, 9, startArgs(frozen(t, "--ip", "192.0.2.77")...)...)
	h.fails(t, 4, startArgs(frozen(t, "--name", "slow")...)...)
	wire.ask(t, lab.LANAddress, lab.HostAddress)
	heard := wire.hear(t, "the end", wire.isAnswer(lab.HostAddress))
	for i := range 10 {
		address := fmt.Sprintf("192.0.2.%d", 100+i)
		probes, announced := count(heard, isProbe(address)), slices.IndexFunc(heard, isAnnouncement(address))
		if probes != arp.Quick.Probes || announced < 0 || count(heard[announced:], isProbe(address)) > 0 {
			t.Errorf("%s: %d probes, want %d; announced at %d", address, probes, arp.Quick.Probes, announced)
		}
	}
	slow.Signal(t, unix.SIGCONT)
	if r := slow.Wait(t, patience); r.ExitCode != 0 {
		t.Errorf("the slow one: %s", r)
	}
	h.must(t, "stop", "--all", "--force")
	h.isAsBefore(t)
}

func count(packets []arp.Packet, fits func(arp.Packet) bool) (n int) {
	for _, p := range packets {
		if fits(p) {
			n++
		}
	}
	return n
}

// TestProbeIsInterrupted presses Ctrl-C during the probe.
func TestProbeIsInterrupted(t *testing.T) {
	t.Parallel()
	h := newHost(t)
	p := h.frozenProbe(t, "web", "192.0.2.77")
	p.Signal(t, unix.SIGINT)
	p.Signal(t, unix.SIGCONT)
	if r := p.Wait(t, promptly); r.ExitCode != 130 || r.Stdout != "" || !strings.Contains(r.Stderr, "start web: interrupted; everything is undone") {
		t.Errorf("want exit status 130: %s", r)
	}
	h.isAsBefore(t)
	if left := h.list(t, "-a"); len(left) > 0 {
		t.Errorf("listed still: %+v", left)
	}
}

// TestProbeIsKilled leaves a record of a VM that never was until the next command,
// and nothing on the host.
func TestProbeIsKilled(t *testing.T) {
	t.Parallel()
	for name, next := range map[string]func(*testing.T, *host){
		"stop": func(t *testing.T, h *host) { h.must(t, "stop", "web") },
		"start": func(t *testing.T, h *host) {
			h.start(t, frozen(t, "--name", "web", "--ip", "192.0.2.77")...)
			h.must(t, "stop", "--force", "web")
		},
		"gc": func(t *testing.T, h *host) {
			h.must(t, "gc")
			if left := h.list(t, "-a"); len(left) > 0 {
				t.Errorf("listed still: %+v", left)
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			h := newHost(t)
			p := h.frozenProbe(t, "web", "192.0.2.77")
			p.Signal(t, unix.SIGKILL)
			p.Wait(t, patience)
			h.awaitState(t, "web", "dead")
			next(t, h)
			h.isAsBefore(t)
		})
	}
}

// TestTwoHostsWantOneAddress starts the same address on two hosts at the same
// time. One has it, or none; or, where one begins to probe when the other has
// just done so, both, and then both know it.
func TestTwoHostsWantOneAddress(t *testing.T) {
	t.Parallel()
	const address = "192.0.2.77"
	h := newHost(t, lab.LANPeers(1))
	other := &host{Lab: &lab.Lab{Host: h.Peers[0]}}
	other.sh(t, "ip route add default via "+lab.LANAddress)
	args := startArgs(frozen(t, "--name", "web", "--ip", address)...)
	one, two := h.Host.Start(t, "kvmrun", args...), other.Host.Start(t, "kvmrun", args...)
	won := 0
	for _, p := range []*lab.Process{one, two} {
		switch r := p.Wait(t, patience); {
		case r.ExitCode == 0:
			won++
		case r.ExitCode != 9 || !strings.Contains(r.Stderr, address+" is used by "):
			t.Error(r)
		}
	}
	if won == 2 {
		h.awaitConflict(t, "web")
		other.awaitConflict(t, "web")
	}
	h.must(t, "stop", "--all", "--force")
	other.must(t, "stop", "--all", "--force")
	h.isAsBefore(t)
}
