package vmdir

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"testing"
	"time"
)

// A folder is no VM before it has its name, and whole when it has.
func TestNewFolder(t *testing.T) {
	root := newRoot(t)
	n, err := root.New()
	if err != nil {
		t.Fatal(err)
	}
	if names, err := root.Names(); err != nil || len(names) > 0 {
		t.Errorf("listed before it has a name: %q, %v", names, err)
	}
	if err := n.Dir.Write(SpecFile, record{}); err != nil {
		t.Fatal(err)
	}
	if err := n.Name(root, "web"); err != nil {
		t.Fatal(err)
	}
	if n.Dir != root.Dir("web") {
		t.Errorf("it is %+v", n.Dir)
	}
	if _, err := root.Dir("web").Supervise(); !errors.Is(err, ErrSupervised) {
		t.Errorf("its lock is not held: %v", err)
	}
	if err := root.Dir("web").Read(SpecFile, &record{}); err != nil {
		t.Error(err)
	}

	second, err := root.New()
	if err != nil {
		t.Fatal(err)
	}
	if err := second.Name(root, "web"); !errors.Is(err, fs.ErrExist) {
		t.Errorf("a second VM of the name: %v, want fs.ErrExist", err)
	}
	if err := second.Discard(); err != nil {
		t.Error(err)
	}
	if left, err := os.ReadDir(root.vms()); err != nil || len(left) != 1 {
		t.Errorf("left: %v, %v", left, err)
	}
}

// What a killed start left is deleted by the next.
func TestHalfFoldersAreSwept(t *testing.T) {
	root := newRoot(t, "web", newPrefix+"11111111-2222-3333-4444-555555555555", oldPrefix+"22222222-2222-3333-4444-555555555555")
	n, err := root.New()
	if err != nil {
		t.Fatal(err)
	}
	if err := n.Discard(); err != nil {
		t.Error(err)
	}
	left, err := os.ReadDir(root.vms())
	if err != nil || len(left) != 1 || left[0].Name() != "web" {
		t.Errorf("left: %v, %v", left, err)
	}
}

// Whoever opened the lock of a VM that went meanwhile does not get that of the
// VM which has its name now.
func TestLockOfAnotherFolder(t *testing.T) {
	root := newRoot(t, "web")
	dir := root.Dir("web")
	lock, err := dir.Supervise()
	if err != nil {
		t.Fatal(err)
	}
	if err := dir.Has(lock); err != nil {
		t.Errorf("its own lock: %v", err)
	}
	if err := dir.Remove(); err != nil {
		t.Fatal(err)
	}
	if err := dir.Has(lock); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("the lock of a VM that is gone: %v, want fs.ErrNotExist", err)
	}
	n, err := root.New()
	if err == nil {
		err = n.Name(root, "web")
	}
	if err != nil {
		t.Fatal(err)
	}
	if err := dir.Has(lock); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("the lock of the VM before: %v, want fs.ErrNotExist", err)
	}
}

func TestRootLockGivesUp(t *testing.T) {
	root := newRoot(t)
	held, err := root.Lock(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	if _, err := root.Lock(ctx); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("locked by another: %v, want the context's error", err)
	}
	if err := held.Close(); err != nil {
		t.Fatal(err)
	}
	again, err := root.Lock(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	_ = again.Close()
}
