package vmdir

import (
	"errors"
	"io/fs"
	"os"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// newRoot makes a run directory with folders for some VMs.
func newRoot(t *testing.T, vms ...string) Root {
	t.Helper()
	root, err := Open(t.TempDir() + "/run")
	if err != nil {
		t.Fatal(err)
	}
	for _, vm := range vms {
		if err := os.Mkdir(root.Dir(vm).Path, 0o700); err != nil {
			t.Fatal(err)
		}
	}
	return root
}

func TestLeaseBelongsToOneVM(t *testing.T) {
	root := newRoot(t, "web", "db")
	if holder := root.Holder("ip-10.0.0.2"); holder != "" {
		t.Errorf("before anybody took it: %q", holder)
	}
	if err := root.Lease("ip-10.0.0.2", "web"); err != nil {
		t.Fatal(err)
	}
	if err := root.Lease("ip-10.0.0.2", "db"); !errors.Is(err, fs.ErrExist) {
		t.Errorf("the second gets %v, want fs.ErrExist", err)
	}
	if err := root.Release("ip-10.0.0.2", "db"); err != nil {
		t.Errorf("releasing another's lease: %v, want nothing to happen", err)
	}
	if holder := root.Holder("ip-10.0.0.2"); holder != "web" {
		t.Errorf("the holder is %q, want web", holder)
	}
	if err := root.Release("ip-10.0.0.2", "web"); err != nil {
		t.Fatal(err)
	}
	if err := root.Lease("ip-10.0.0.2", "db"); err != nil {
		t.Errorf("after its release: %v", err)
	}
	if err := root.Release("ip-10.9.9.9", "web"); err != nil {
		t.Errorf("releasing what nobody has: %v", err)
	}
}

func TestLeaseOfAVMThatIsNoMoreIsTakenOver(t *testing.T) {
	root := newRoot(t, "web", "db")
	if err := root.Lease("uid-7", "web"); err != nil {
		t.Fatal(err)
	}
	if err := root.Dir("web").Remove(); err != nil {
		t.Fatal(err)
	}
	if holder := root.Holder("uid-7"); holder != "" {
		t.Errorf("a VM without a folder holds it: %q", holder)
	}
	if err := root.Lease("uid-7", "db"); err != nil {
		t.Fatal(err)
	}
	if holder := root.Holder("uid-7"); holder != "db" {
		t.Errorf("the holder is %q, want db", holder)
	}
}

func TestLeasedListsByPrefix(t *testing.T) {
	root := newRoot(t, "web")
	for _, resource := range []string{"ip-10.0.0.2", "ip-10.0.0.3", "uid-7"} {
		if err := root.Lease(resource, "web"); err != nil {
			t.Fatal(err)
		}
	}
	got, err := root.Leased("ip-")
	if diff := cmp.Diff(map[string]bool{"10.0.0.2": true, "10.0.0.3": true}, got); err != nil || diff != "" {
		t.Errorf("%v %s", err, diff)
	}
	nowhere, err := At(t.TempDir() + "/none")
	if err != nil {
		t.Fatal(err)
	}
	if got, err := nowhere.Leased("ip-"); err != nil || len(got) != 0 {
		t.Errorf("without a run directory: %v, %v", got, err)
	}
}

// contend has many VMs take one lease at the same instant and counts who got it.
func contend(t *testing.T, root Root, take func(vm string) error) int {
	t.Helper()
	var winners atomic.Int32
	var wg sync.WaitGroup
	begin := make(chan struct{})
	for i := range 50 {
		wg.Go(func() {
			<-begin
			switch err := take("vm-" + strconv.Itoa(i)); {
			case err == nil:
				winners.Add(1)
			case !errors.Is(err, fs.ErrExist):
				t.Error(err)
			}
		})
	}
	close(begin)
	wg.Wait()
	return int(winners.Load())
}

func manyVMs(t *testing.T) Root {
	t.Helper()
	root := newRoot(t, "late")
	for i := range 50 {
		if err := os.Mkdir(root.Dir("vm-"+strconv.Itoa(i)).Path, 0o700); err != nil {
			t.Fatal(err)
		}
	}
	return root
}

func TestOneOfManyGetsAFreeLease(t *testing.T) {
	root := manyVMs(t)
	if n := contend(t, root, func(vm string) error { return root.Lease("ip-10.0.0.2", vm) }); n != 1 {
		t.Errorf("%d VMs have it", n)
	}
}

// Taking over takes two steps, which the run directory's lock makes one.
func TestOneOfManyTakesAStaleLeaseOver(t *testing.T) {
	root := manyVMs(t)
	if err := root.Lease("ip-10.0.0.2", "late"); err != nil {
		t.Fatal(err)
	}
	if err := root.Dir("late").Remove(); err != nil {
		t.Fatal(err)
	}
	n := contend(t, root, func(vm string) error {
		lock, err := root.Lock(t.Context())
		if err != nil {
			return err
		}
		defer func() { _ = lock.Close() }()
		return root.Lease("ip-10.0.0.2", vm)
	})
	if n != 1 {
		t.Errorf("%d VMs have it", n)
	}
}

func TestStrangersAreNoLeases(t *testing.T) {
	root := newRoot(t, "web")
	if err := os.WriteFile(root.leases()+"/ip-10.0.0.2", nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink("../../../etc", root.leases()+"/ip-10.0.0.3"); err != nil {
		t.Fatal(err)
	}
	for _, resource := range []string{"ip-10.0.0.2", "ip-10.0.0.3"} {
		if holder := root.Holder(resource); holder != "" {
			t.Errorf("%s is held by %q", resource, holder)
		}
	}
}
