package netplumb

import (
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
)

// taken is an inUse of some addresses.
func taken(addresses ...string) func(netip.Addr) bool {
	return func(a netip.Addr) bool {
		for _, text := range addresses {
			if a == netip.MustParseAddr(text) {
				return true
			}
		}
		return false
	}
}

// releaseOrphans lets go of what belongs to no address in use, and returns how
// much that was.
func (l *lab) releaseOrphans(inUse ...string) int {
	l.Helper()
	orphans, err := l.Orphans(taken(inUse...))
	if err != nil {
		l.Fatal(err)
	}
	for _, o := range orphans {
		if err := l.Release(o); err != nil {
			l.Errorf("%s for %s: %v", o.What, o.Holder, err)
		}
	}
	return len(orphans)
}

// TestOrphansAreReleased loses the plans of two guests one after the other: what
// they shared goes with the second.
func TestOrphansAreReleased(t *testing.T) {
	if !ownNamespace(t) {
		return
	}
	l := newLab(t)
	before := l.state()
	p, q := l.plan(subnetConfig()), l.plan(guest(subnetConfig(), "10.254.254.3", "kvm-db"))
	first, second := l.apply(p), l.apply(q)
	if n := l.releaseOrphans("10.254.254.2", "10.254.254.3"); n > 0 {
		t.Errorf("%d holds of guests that run are taken for orphans", n)
	}
	closeAll(first)
	l.sh("ip neigh delete proxy 10.254.254.2 dev eth0")
	if n := l.releaseOrphans("10.254.254.3"); n != 3 {
		t.Errorf("%d orphans, want forwarding, proxy_delay and the alias", n)
	}
	l.allWell(q)
	closeAll(second)
	l.sh("ip neigh delete proxy 10.254.254.3 dev eth0")
	if n := l.releaseOrphans(); n != 3 {
		t.Errorf("%d orphans, want 3", n)
	}
	l.unchanged(before)
}

// TestOrphansOfAnInterfaceThatIsGone leave nothing in the journal.
func TestOrphansOfAnInterfaceThatIsGone(t *testing.T) {
	if !ownNamespace(t) {
		return
	}
	l := newLab(t)
	closeAll(l.apply(l.plan(subnetConfig())))
	l.sh("ip link delete eth0")
	l.releaseOrphans()
	if left, _ := filepath.Glob(filepath.Join(l.dir, "interface-*")); len(left) > 0 {
		t.Errorf("left: %q", left)
	}
}

// TestReleaseThatWasCutShort is finished: the last holder is gone, and the value
// is still kvmrun's.
func TestReleaseThatWasCutShort(t *testing.T) {
	if !ownNamespace(t) {
		return
	}
	l := newLab(t)
	before := l.state()
	closeAll(l.apply(l.plan(subnetConfig())))
	l.sh("ip neigh delete proxy 10.254.254.2 dev eth0; rm -r " + l.dir + "/*/holders")
	if n := l.releaseOrphans("10.254.254.2"); n != 3 {
		t.Errorf("%d orphans, want 3", n)
	}
	l.unchanged(before)
}

// TestStrangersInTheJournal are no orphans.
func TestStrangersInTheJournal(t *testing.T) {
	if !ownNamespace(t) {
		return
	}
	l := newLab(t)
	names := []string{"notes", "interface-x.forwarding", "interface-0.forwarding", "interface-2", "interface-2.rp_filter", "interface-2.address-x", "interface-2.address-fe80::1"}
	for _, name := range names {
		if err := os.Mkdir(filepath.Join(l.dir, name), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	if n := l.releaseOrphans(); n > 0 {
		t.Errorf("%d strangers are taken for orphans", n)
	}
	for _, name := range names {
		if _, err := os.Lstat(filepath.Join(l.dir, name)); err != nil {
			t.Error(err)
		}
	}
}

// TestJournalThatIsLost is put back by those who have a copy, and what was before
// returns all the same.
func TestJournalThatIsLost(t *testing.T) {
	if !ownNamespace(t) {
		return
	}
	l := newLab(t)
	l.sh("sysctl -q -w net.ipv4.neigh.eth0.proxy_delay=37")
	before := l.state()
	p, q := l.plan(subnetConfig()), l.plan(guest(subnetConfig(), "10.254.254.3", "kvm-db"))
	files := append(l.apply(p), l.apply(q)...)
	var copies []Records
	for _, plan := range []*Plan{p, q} {
		records, err := plan.Records(l.Host)
		if err != nil {
			t.Fatal(err)
		}
		copies = append(copies, records)
	}
	l.sh("rm -r " + l.dir)
	for i, plan := range []*Plan{p, q} {
		if err := plan.PutBack(l.Host, copies[i]); err != nil {
			t.Fatal(err)
		}
	}
	closeAll(files)
	l.undo(p)
	if got := l.sh("sysctl -n net.ipv4.neigh.eth0.proxy_delay"); got != "0\n" {
		t.Errorf("proxy_delay is restored while a guest needs it: %s", got)
	}
	l.undo(q)
	l.unchanged(before)
}

// TestMarks finds kvmrun's own among strangers, and takes away what it is told to.
func TestMarks(t *testing.T) {
	if !ownNamespace(t) {
		return
	}
	l := newLab(t)
	l.sh(`ip neigh add proxy 10.254.254.9 dev eth0 nud permanent
ip address add 10.254.254.9/32 dev eth0 label eth0:7
ip tuntap add dev kr-decoy mode tap`)
	before := l.state()
	files := l.apply(l.plan(subnetConfig()))
	marked, err := l.Marked()
	if err != nil {
		t.Fatal(err)
	}
	want := map[string]bool{"tap kvm-web": true, "proxy entry 10.254.254.2 on eth0": true, "alias 10.254.254.1 on eth0": true}
	aliases := 0
	for _, m := range marked {
		if m.Kind == MarkedAlias {
			recorded, err := l.Recorded(m)
			if err != nil || !recorded {
				t.Errorf("%s is not recorded: %v", m, err)
			}
			aliases++
		}
		if !want[m.String()] {
			t.Errorf("%s is not kvmrun's", m)
		}
		if err := l.Remove(m); err != nil {
			t.Error(err)
		}
		if err := l.Remove(m); err != nil {
			t.Errorf("once more: %v", err)
		}
	}
	if len(marked) != len(want) || aliases != 1 {
		t.Errorf("found: %+v", marked)
	}
	closeAll(files)
	l.releaseOrphans()
	l.unchanged(before)
	if out, err := exec.Command("ip", "link", "show", "kr-decoy").CombinedOutput(); err != nil {
		t.Errorf("%s: %v", out, err)
	}
}
