package netplumb

import (
	"fmt"
	"strings"
	"testing"
	"time"
)

// TestDeleteTaps deletes the taps of some plans at once, beside decoys: taps of
// other plans, and interfaces that look like ours in all but one thing.
func TestDeleteTaps(t *testing.T) {
	if !ownNamespace(t) {
		return
	}
	l := newLab(t)
	l.sh(fmt.Sprintf(`ip tuntap add dev stranger mode tap
ip link set dev stranger group %d alias "somebody else's"
ip link add bridge type bridge
ip link set dev bridge group %d alias "kvmrun web it's"`, LinkGroup, LinkGroup))
	l.addOthers(30)
	going := l.others[:20]
	closeAll(l.otherFiles[18:19]) // this one has gone by itself
	replaced := going[19].Config.Tap
	closeAll(l.otherFiles[19:20])
	l.sh(fmt.Sprintf("ip tuntap add dev %s mode tap; ip link set dev %s group %d", replaced, replaced, LinkGroup))

	names := func() string {
		return l.sh("ip -o link | sed 's/^[0-9]*: //; s/[:@].* group / group /; s/ qlen.*//' | sort")
	}
	var want []string
	for line := range strings.Lines(names()) {
		name, _, _ := strings.Cut(line, " ")
		gone := false
		for _, p := range going[:18] {
			gone = gone || p.Config.Tap == name
		}
		if !gone {
			want = append(want, line)
		}
	}
	taps, err := l.FindTaps(going)
	if err != nil {
		t.Fatal(err)
	}
	if len(taps.indexes) != 18 {
		t.Errorf("%d taps are found, want 18", len(taps.indexes))
	}
	if err := taps.Delete(); err != nil {
		t.Fatal(err)
	}
	if got := names(); got != strings.Join(want, "") {
		t.Errorf("left are\n%s\nwant\n%s", got, strings.Join(want, ""))
	}
	if err := taps.Delete(); err != nil {
		t.Errorf("again: %v", err)
	}
	for _, p := range going {
		l.undo(p)
	}
	if got := names(); got != strings.Join(want, "") {
		t.Errorf("after Undo\n%s\nwant\n%s", got, strings.Join(want, ""))
	}
}

// TestDeleteManyTaps has no queue: some hundred go in less time than they would
// take one after another.
func TestDeleteManyTaps(t *testing.T) {
	if !ownNamespace(t) {
		return
	}
	l := newLab(t)
	l.addOthers(420)
	const single = 20
	began := time.Now()
	closeAll(l.otherFiles[:single])
	each := time.Since(began) / single
	began = time.Now()
	taps, err := l.FindTaps(l.others)
	if err != nil {
		t.Fatal(err)
	}
	found := time.Since(began)
	if err := taps.Delete(); err != nil {
		t.Fatal(err)
	}
	all := time.Since(began)
	t.Logf("one after another %v each; %d at once: found in %v, deleted in %v", each, len(taps.indexes), found, all-found)
	if limit := time.Duration(len(taps.indexes)) * each / 2; all > limit {
		t.Errorf("it took %v; half of what one after another takes is %v", all, limit)
	}
	if left := l.sh("ip -o link show type tun"); left != "" {
		t.Errorf("left:\n%s", left)
	}
	closeAll(l.otherFiles)
}
