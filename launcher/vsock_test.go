package launcher

import (
	"testing"

	"kvmrun/launcher/vmdir"
)

// VMs get different vsock addresses, also when the same one is drawn; a VM that is started
// again has its own again, if that is free.
func TestChooseCID(t *testing.T) {
	root, err := vmdir.Open(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	l := &Launcher{root: root}
	choose := func(name string, cid uint32) uint32 {
		t.Helper()
		s := Spec{Name: name, UUID: "6f0d5b6e-4f0e-4c1c-9f0b-7a6a5e0c1d2e", CID: cid}
		if err := l.chooseCID(&s); err != nil {
			t.Fatal(err)
		}
		return s.CID
	}
	first := choose("one", 0)
	if first < firstCID || first >= firstCID+cidCount || choose("two", 0) != first {
		t.Errorf("%d, and another time %d", first, choose("two", 0))
	}
	folder, err := root.New()
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = folder.Lock.Close() }()
	if err := folder.Name(root, "one"); err != nil {
		t.Fatal(err)
	}
	if err := root.Lease(leaseOfCID(first), "one"); err != nil {
		t.Fatal(err)
	}
	for _, was := range []uint32{0, first} {
		if got := choose("two", was); got == first || got < firstCID {
			t.Errorf("two VMs have %d", got)
		}
	}
	if got := choose("two", first+7); got != first+7 {
		t.Errorf("started again it has %d", got)
	}
}
