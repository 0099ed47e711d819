package e2e

import (
	"fmt"
	"slices"
	"testing"

	"kvmrun/tests/lab"
)

// TestTwentyStartsAtOnce gives every VM a name, an address, a MAC, a tap and a
// user of its own.
func TestTwentyStartsAtOnce(t *testing.T) {
	t.Parallel()
	const many = 20
	h := newHost(t)
	var starts []*lab.Process
	for range many {
		starts = append(starts, h.Host.Start(t, "kvmrun", startArgs(frozen(t)...)...))
	}
	for _, p := range starts {
		if r := p.Wait(t, 3*patience); r.ExitCode != 0 {
			t.Errorf("one of %d: %s", many, r)
		}
	}
	vms := h.list(t)
	if len(vms) != many {
		t.Fatalf("%d VMs are listed, want %d", len(vms), many)
	}
	for what, of := range map[string]func(vm) string{
		"name":    func(v vm) string { return v.Name },
		"address": func(v vm) string { return v.IP },
		"MAC":     func(v vm) string { return v.MAC },
		"tap":     func(v vm) string { return v.Tap },
		"UUID":    func(v vm) string { return v.UUID },
		"user":    func(v vm) string { return h.status(t, v.PID)["Uid"] },
		"group":   func(v vm) string { return h.status(t, v.PID)["Gid"] },
	} {
		seen := map[string]string{}
		for _, v := range vms {
			value := of(v)
			if other := seen[value]; other != "" {
				t.Errorf("%s and %s have the same %s, %s", v.Name, other, what, value)
			}
			seen[value] = v.Name
		}
	}
	for i := range many {
		address := fmt.Sprintf("10.254.254.%d", i+2)
		if !slices.ContainsFunc(vms, func(v vm) bool { return v.IP == address }) {
			t.Errorf("the %d addresses are not the first ones: %s is missing", many, address)
		}
	}
	ours := func(l link) bool { return l.Group == fmt.Sprint(linkGroup) }
	if taps := slices.DeleteFunc(ip[link](t, h.Host, "link"), func(l link) bool { return !ours(l) }); len(taps) != many {
		t.Errorf("there are %d taps of kvmrun's link group, want %d", len(taps), many)
	}
	h.must(t, "stop", "--all", "--force")
	h.isAsBefore(t)
}

// TestOneNameAndOneAddressHaveOneVM has two starts want the same at once.
func TestOneNameAndOneAddressHaveOneVM(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		flag, value string
		status      int
	}{
		{"--name", "web", 4},
		{"--ip", "10.254.254.80", 9},
	} {
		t.Run(c.flag, func(t *testing.T) {
			t.Parallel()
			h := newHost(t)
			args := startArgs(frozen(t, c.flag, c.value)...)
			one, two := h.Host.Start(t, "kvmrun", args...), h.Host.Start(t, "kvmrun", args...)
			won, lost := one.Wait(t, patience), two.Wait(t, patience)
			if won.ExitCode != 0 {
				won, lost = lost, won
			}
			if won.ExitCode != 0 || lost.ExitCode != c.status {
				t.Errorf("want one to win and one to end with exit status %d:\n%s\n%s", c.status, won, lost)
			}
			if vms := h.list(t, "-a"); len(vms) != 1 {
				t.Errorf("listed: %+v", vms)
			}
			h.must(t, "stop", "--all", "--force")
			h.isAsBefore(t)
		})
	}
}

// TestStopsSideBySide has two commands stop the same VMs at the same time, one of
// them by force.
func TestStopsSideBySide(t *testing.T) {
	t.Parallel()
	h := newHost(t)
	for range 4 {
		h.start(t, frozen(t)...)
	}
	all, again := h.Host.Start(t, "kvmrun", "stop", "--all"), h.Host.Start(t, "kvmrun", "stop", "--all", "--force")
	for _, p := range []*lab.Process{all, again} {
		if r := p.Wait(t, patience); r.ExitCode != 0 {
			t.Errorf("stop --all at the same time as another: %s", r)
		}
	}
	h.isAsBefore(t)
}

// TestStopOfSomeLeavesOthersAlone stops some VMs together, whose taps are deleted
// at once, beside another VM and beside interfaces that look like kvmrun's.
func TestStopOfSomeLeavesOthersAlone(t *testing.T) {
	t.Parallel()
	h := newHost(t)
	h.Host.PlaceDecoys(t)
	h.before = h.Host.Snapshot(t)
	stays := h.startNet(t, append(boot(t), "--name", "stays")...)
	some := []string{"stop", "--force"}
	for range 6 {
		some = append(some, h.start(t, frozen(t)...).Name)
	}
	h.must(t, some...)
	if listed := h.list(t, "-a"); len(listed) != 1 || listed[0].State != "running" {
		t.Errorf("listed: %+v", listed)
	}
	stays.reachedFrom(t, h.LAN)
	h.must(t, "stop", "stays")
	h.isAsBefore(t)
}

// TestKillOfStopOfMany kills it before and after it has asked the first QEMU to
// end: no VM goes on without its network.
func TestKillOfStopOfMany(t *testing.T) {
	t.Parallel()
	h := newHost(t)
	for _, point := range []string{"pidfd_send_signal:signal=KILL:when=1", "pidfd_send_signal:signal=KILL:when=2", "sendto:signal=KILL:when=2", "sendto:signal=KILL:when=3"} {
		for range 3 {
			h.start(t, frozen(t)...)
		}
		h.strace(t, point, "stop", "--all", "--force").Wait(t, patience)
		lab.Eventually(t, patience, func() error {
			for _, v := range h.list(t) {
				if r := h.Host.Run(t, "ip", "link", "show", v.Tap); r.ExitCode != 0 && v.State == "paused" {
					return fmt.Errorf("%s: %s goes on without its tap", point, v.Name)
				}
			}
			return nil // those without a tap are ending, or have ended
		})
		h.must(t, "stop", "--all", "--force")
		h.isAsBefore(t)
	}
}
