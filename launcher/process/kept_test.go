package process

import (
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// TestWaitWhileUnseen waits for another user's process without the capability to
// look at it, as in a container: it may write at a disk all the while.
func TestWaitWhileUnseen(t *testing.T) {
	t.Parallel()
	const idle = 200 * time.Millisecond
	cmd := exec.Command("sleep", "1000")
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: 12345, Gid: 12345}}
	h := start(t, cmd)
	done := make(chan struct{})
	go func() {
		defer close(done)
		runtime.LockOSThread() // ends with this, and its lack of capabilities with it
		if err := dropCapability(unix.CAP_SYS_PTRACE); err != nil {
			t.Error(err)
			return
		}
		wantKept(t, h, idle, Unseen)
	}()
	<-done
	if err := h.WaitWhileBusy(t.Context(), idle, func(how string) { t.Errorf("it %s", how) }); !errors.Is(err, ErrIdle) {
		t.Errorf("with the capability: %v", err)
	}
}

// dropCapability takes one of the first 32 capabilities from the calling thread.
func dropCapability(number int) error {
	header := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
	var data [2]unix.CapUserData
	if err := unix.Capget(&header, &data[0]); err != nil {
		return err
	}
	data[0].Effective &^= 1 << number
	return unix.Capset(&header, &data[0])
}

// TestNothingSeen: of a process that has no folder in /proc, as another user's has
// none with its option hidepid, nobody can say that it does nothing.
func TestNothingSeen(t *testing.T) {
	t.Parallel()
	if w := (ID{PID: 1 << 30}).work(); w.kept() != Unseen {
		t.Errorf("it counts as seen: %+v", w)
	}
}

// TestWaitWhileFrozen freezes a process by its control group.
func TestWaitWhileFrozen(t *testing.T) {
	t.Parallel()
	const idle = 200 * time.Millisecond
	group := controlGroup(t, "cgroup2", "cgroup.freeze")
	h := startScript(t, "read -r line")
	put(t, group, "cgroup.procs", strconv.Itoa(h.ID.PID))
	put(t, group, "cgroup.freeze", "1")
	wantKept(t, h, idle, Frozen)
	put(t, group, "cgroup.freeze", "0")
	if err := h.WaitWhileBusy(t.Context(), idle, func(string) {}); !errors.Is(err, ErrIdle) {
		t.Errorf("thawed: %v", err)
	}
}

// TestWaitWhileStarved has a process that computes get next to no processor.
func TestWaitWhileStarved(t *testing.T) {
	t.Parallel()
	group := controlGroup(t, "cgroup", "cpu.cfs_quota_us")
	h := startScript(t, "while :; do :; done")
	put(t, group, "cpu.cfs_period_us", "1000000")
	put(t, group, "cpu.cfs_quota_us", "1000")
	put(t, group, "cgroup.procs", strconv.Itoa(h.ID.PID))
	ctx, cancel := context.WithTimeout(t.Context(), 3*time.Second)
	defer cancel()
	if err := h.WaitWhileBusy(ctx, time.Second, func(how string) { t.Errorf("it %s", how) }); !errors.Is(err, context.DeadlineExceeded) {
		t.Error(err)
	}
}

// controlGroup makes a control group that has a certain file, and goes with the
// test. Not every machine has one of each version.
func controlGroup(t *testing.T, version, file string) string {
	t.Helper()
	mounts, err := os.ReadFile("/proc/self/mounts")
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(mounts)) {
		fields := strings.Fields(line)
		if fields[2] != version {
			continue
		}
		group, err := os.MkdirTemp(fields[1], "kvmrun-test-")
		if err != nil {
			continue
		}
		if _, err := os.Stat(filepath.Join(group, file)); err != nil {
			_ = os.Remove(group)
			continue
		}
		t.Cleanup(func() { leave(t, group) })
		return group
	}
	t.Skipf("no %s with %s may be used here", version, file)
	return ""
}

// leave removes a control group, once its processes have ended, of which version 1
// tells nobody.
func leave(t *testing.T, group string) {
	t.Helper()
	var err error
	for range 1000 {
		if err = os.Remove(group); !errors.Is(err, unix.EBUSY) {
			break
		}
		time.Sleep(time.Millisecond)
	}
	if err != nil {
		t.Error(err)
	}
}

func put(t *testing.T, group, file, text string) {
	t.Helper()
	if err := os.WriteFile(filepath.Join(group, file), []byte(text), 0); err != nil {
		t.Fatal(err)
	}
}
