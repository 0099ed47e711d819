package netplumb

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/sys/unix"
)

// TestLockHeldForever has another hold the journal's lock and not go on, as a
// stopped gc does. Nothing waits for it without end, and all can be done later.
func TestLockHeldForever(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		j, s := holds{t.TempDir()}, &setting{value: "0"}
		kept := change{Old: "0", Set: "1"}
		if err := j.acquire(s, "web"); err != nil {
			t.Fatal(err)
		}
		letGo := holdLock(t, j)
		began := time.Now()
		for what, err := range map[string]error{
			"acquire": j.acquire(s, "db"),
			"release": j.release(s, "web"),
			"putBack": j.putBack("setting", kept, "mail"),
		} {
			if err == nil || !strings.Contains(err.Error(), filepath.Join(j.dir, lockFile)) {
				t.Errorf("%s: %v, want an error that names the lock", what, err)
			}
		}
		if took := time.Since(began); took < 3*lockTime || took > 4*lockTime {
			t.Errorf("three waits of %v each took %v", lockTime, took)
		}
		wantRecord(t, j, "web")
		began = time.Now()
		if err := j.putBack("setting", kept, "web"); err != nil || time.Since(began) > 0 {
			t.Errorf("nothing is lost, and it took %v: %v", time.Since(began), err)
		}
		letGo()
		wantUndone(t, j, s, "web")
	})
}

// TestLockHeldForAWhile has it let go while another waits.
func TestLockHeldForAWhile(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		j, s := holds{t.TempDir()}, &setting{value: "0"}
		time.AfterFunc(lockTime/2, holdLock(t, j))
		if err := j.acquire(s, "web"); err != nil {
			t.Error(err)
		}
		wantRecord(t, j, "web")
		wantUndone(t, j, s, "web")
	})
}

// holdLock takes the journal's lock until the returned function is called.
func holdLock(t *testing.T, j holds) (letGo func()) {
	t.Helper()
	f, err := os.OpenFile(filepath.Join(j.dir, lockFile), os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		t.Fatal(err)
	}
	if err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		t.Fatal(err)
	}
	return func() { _ = f.Close() }
}
