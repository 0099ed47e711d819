package vmdir

import (
	"bufio"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"testing"
)

// holderVariable makes a copy of the test binary hold the lock of the folder
// that it names, until it is killed.
const holderVariable = "KVMRUN_TEST_HOLD"

func TestMain(m *testing.M) {
	if path := os.Getenv(holderVariable); path != "" {
		holdForever(path)
	}
	os.Exit(m.Run())
}

func holdForever(path string) {
	lock, err := Dir{Name: "web", Path: path}.Supervise()
	if err != nil {
		fmt.Println(err)
		os.Exit(1)
	}
	defer func() { _ = lock.Close() }()
	fmt.Println("held")
	<-make(chan struct{})
}

func TestLockIsSeenWithoutBeingTaken(t *testing.T) {
	dir := newRoot(t, "web").Dir("web")
	supervised := func() bool {
		t.Helper()
		yes, err := dir.Supervised()
		if err != nil {
			t.Fatal(err)
		}
		return yes
	}
	if supervised() {
		t.Error("supervised before anybody was there")
	}
	lock, err := dir.Supervise()
	if err != nil {
		t.Fatal(err)
	}
	for range 3 {
		if !supervised() {
			t.Error("not supervised while the lock is held")
		}
	}
	if _, err := dir.Supervise(); !errors.Is(err, ErrSupervised) {
		t.Errorf("a second supervisor gets %v, want ErrSupervised", err)
	}
	if err := lock.Close(); err != nil {
		t.Fatal(err)
	}
	if supervised() {
		t.Error("supervised after the lock was closed")
	}
}

// Opening and closing the lock's file elsewhere in the same process must not
// drop it, as a lock of POSIX's older kind would be.
func TestLookingDoesNotDropTheLock(t *testing.T) {
	dir := newRoot(t, "web").Dir("web")
	lock, err := dir.Supervise()
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = lock.Close() }()
	if _, err := dir.Supervised(); err != nil {
		t.Fatal(err)
	}
	if _, err := dir.Supervise(); !errors.Is(err, ErrSupervised) {
		t.Errorf("the lock is gone: %v", err)
	}
}

func TestLockEndsWithItsProcess(t *testing.T) {
	dir := newRoot(t, "web").Dir("web")
	child := exec.Command("/proc/self/exe")
	child.Env = []string{holderVariable + "=" + dir.Path}
	out, err := child.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := child.Start(); err != nil {
		t.Fatal(err)
	}
	said, err := bufio.NewReader(out).ReadString('\n')
	if err != nil || said != "held\n" {
		t.Errorf("the child says %q, %v", said, err)
	}
	if yes, err := dir.Supervised(); err != nil || !yes {
		t.Errorf("while the child lives: %v, %v", yes, err)
	}
	if err := child.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = child.Wait() // it was killed
	if yes, err := dir.Supervised(); err != nil || yes {
		t.Errorf("after the child was killed: %v, %v", yes, err)
	}
	lock, err := dir.Supervise()
	if err != nil {
		t.Fatal(err)
	}
	_ = lock.Close()
}
