package e2e

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"kvmrun/tests/lab"
)

// line is what guests fill their disks with.
const line = "0123456789abcde\n"

// fill is a command that writes a disk full of it from its start on, past the
// guest's cache, and says so on the console.
func fill(bytes int) string {
	return fmt.Sprintf("yes %s | head -c %d | dd of=/dev/vda bs=64k iflag=fullblock oflag=direct conv=fsync && echo filled",
		strings.TrimSpace(line), bytes)
}

// background runs a command in the guest and leaves it to itself. What it says
// goes to the console.
func (v *vm) background(t *testing.T, command string) {
	t.Helper()
	v.guestHas(t, "("+command+") >/dev/console 2>&1 </dev/null & echo begun", "begun\n")
}

// awaitLog waits until the console's log of VM web says something.
func (h *host) awaitLog(t *testing.T, text string) {
	t.Helper()
	lab.Eventually(t, 2*patience, func() error { return logged(text)(h) })
}

// checkImage is qemu-img check. Leaked clusters cost space and nothing else.
func (h *host) checkImage(t *testing.T, image string, mayLeak bool) {
	t.Helper()
	const leaked = 3 // qemu-img(1)
	r := h.Host.Run(t, "qemu-img", "check", image)
	t.Log(r)
	if r.ExitCode != 0 && (!mayLeak || r.ExitCode != leaked) {
		t.Errorf("the image is damaged: %s", r)
	}
}

// disk is an image's content as a guest sees it.
func (h *host) disk(t *testing.T, image string) string {
	t.Helper()
	raw := filepath.Join(t.TempDir(), "raw")
	h.Host.MustRun(t, "qemu-img", "convert", "-O", "raw", image, raw)
	return content(t, raw)
}

// newSmallHost is a host with an image of 64 MiB on a file system of 8 MiB.
func newSmallHost(t *testing.T) (h *host, image string) {
	t.Helper()
	h = newHost(t)
	dir := t.TempDir()
	image = dir + "/disk.qcow2"
	h.sh(t, "mount -t tmpfs -o size=8m small "+dir+"; qemu-img create -q -f qcow2 "+image+" 64M; rm -rf /run/mount") // the last is mount(8)'s own
	return h, image
}

// makeRoom makes the file system under an image large enough.
func (h *host) makeRoom(t *testing.T, image string) {
	t.Helper()
	h.sh(t, "mount -o remount,size=100m "+filepath.Dir(image)+"; rm -rf /run/mount")
}

// TestFullDisk fills the file system under an image. The guest stands still,
// everybody is told why, and it goes on where it was once there is room.
func TestFullDisk(t *testing.T) {
	t.Parallel()
	h, image := newSmallHost(t)
	v := h.startNet(t, append(boot(t), image, "--name", "web")...)
	const size = 16 << 20
	v.background(t, fill(size))
	paused := h.awaitState(t, "web", "paused")
	table := h.must(t, "list")
	for _, want := range []string{"no space is left for " + image, "kvmrun resume web"} {
		if !strings.Contains(paused.Reason, want) || !strings.Contains(table, want) {
			t.Errorf("list does not say %q:\n%s\n%q", want, table, paused.Reason)
		}
	}
	if events := h.must(t, "events", "web"); !strings.Contains(events, `"event":"disk-full","data":{"device":"disk0","image":"`+image+`"}`) {
		t.Errorf("no event tells of it:\n%s", events)
	}
	if message := h.fails(t, 13, "resume", "web"); !strings.Contains(message, image) {
		t.Errorf("resume does not say what is the matter: %s", message)
	}
	if now := h.list(t)[0]; now.State != "paused" || now.Reason != paused.Reason {
		t.Errorf("after a resume in vain: %+v", now)
	}
	h.makeRoom(t, image)
	h.must(t, "resume", "web")
	if now := h.list(t)[0]; now.State != "running" || now.Reason != "" {
		t.Errorf("after resume: %+v", now)
	}
	h.must(t, "resume", "web") // which runs already
	h.awaitLog(t, "filled")
	h.must(t, "stop", "web")
	h.checkImage(t, image, false)
	if got := h.disk(t, image)[:size]; got != strings.Repeat(line, size/len(line)) {
		t.Error("not all that the guest wrote is there")
	}
	h.isAsBefore(t)
}

// TestFullDiskWithoutSupervisor fills it while nobody looks after the VM. The
// next supervisor finds out, and stop lets the guest go on and shut down by
// itself once there is room.
func TestFullDiskWithoutSupervisor(t *testing.T) {
	t.Parallel()
	h, image := newSmallHost(t)
	v := h.startNet(t, append(boot(t), image, "--name", "web")...)
	h.killSupervisor(t, "web")
	v.background(t, fill(16<<20))
	lab.Eventually(t, patience, func() error {
		if status := h.Host.MustRun(t, "kvmrun", "qmp", "web", "query-status"); !strings.Contains(status, "io-error") {
			return fmt.Errorf("the disk is not full yet: %s", status)
		}
		return nil
	})
	h.fails(t, 13, "resume", "web")
	if now := h.list(t)[0]; now.State != "paused" || !strings.Contains(now.Reason, image) {
		t.Errorf("after the adoption: %+v", now)
	}
	h.makeRoom(t, image)
	follow := h.Host.Start(t, "kvmrun", "logs", "-f", "web")
	follow.Stdout.WaitFor(t, "guest: ready", patience)
	h.must(t, "stop", "web")
	if r := follow.Wait(t, patience); !strings.Contains(r.Stdout, "guest: power button") {
		t.Errorf("the guest was not asked: %s", r)
	}
	h.checkImage(t, image, false)
	h.isAsBefore(t)
}

// TestStopOnFullDisk ends a VM whose disk stays full. What the guest has written
// is there.
func TestStopOnFullDisk(t *testing.T) {
	t.Parallel()
	h, image := newSmallHost(t)
	v := h.startNet(t, append(boot(t), image, "--name", "web")...)
	v.background(t, fill(16<<20))
	h.awaitState(t, "web", "paused")
	stop := h.Host.Start(t, "kvmrun", "stop", "web")
	if r := stop.Wait(t, promptly); r.ExitCode != 0 || !strings.Contains(r.Stderr, "no space is left for "+image) {
		t.Errorf("stop: %s", r)
	}
	h.checkImage(t, image, true)
	const least = 4 << 20
	if got := h.disk(t, image)[:least]; got != strings.Repeat(line, least/len(line)) {
		t.Error("not all that the guest wrote is there")
	}
	h.isAsBefore(t)
}

// writes waits until the VM's image has grown.
func (v *vm) writes(t *testing.T, bytes int64) {
	t.Helper()
	image := v.host.inspect(t, v.Name).Image
	size := func() int64 {
		info, err := os.Stat(v.host.Host.File(image))
		if err != nil {
			t.Fatal(err)
		}
		return info.Size()
	}
	least := size() + bytes
	lab.Eventually(t, patience, func() error {
		if now := size(); now < least {
			return fmt.Errorf("the image has %d bytes, not yet %d", now, least)
		}
		return nil
	})
}

// TestDeathDuringWrites ends VMs in all ways while their guests write. What a
// guest had made sure of is there, and the image is sound.
func TestDeathDuringWrites(t *testing.T) {
	t.Parallel()
	for name, end := range map[string]func(*testing.T, *host, *vm){
		"the guest powers off": func(t *testing.T, _ *host, v *vm) { v.poweroff(t) },
		"stop":                 func(t *testing.T, h *host, _ *vm) { h.must(t, "stop", "web") },
		"stop --force":         func(t *testing.T, h *host, _ *vm) { h.must(t, "stop", "--force", "web") },
		"SIGKILL to QEMU":      func(t *testing.T, h *host, v *vm) { h.kill(t, "KILL", v.PID); h.onlyRecordIsLeft(t, "web") },
		"SIGKILL to the supervisor": func(t *testing.T, h *host, v *vm) {
			h.killSupervisor(t, "web")
			v.writes(t, 4<<20)
			h.must(t, "stop", "--force", "web")
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			h := newHost(t)
			image := filepath.Join(t.TempDir(), "disk.qcow2")
			const size = 128 << 20
			if out, err := exec.Command("qemu-img", "create", "-q", "-f", "qcow2", image, fmt.Sprint(size)).CombinedOutput(); err != nil {
				t.Fatalf("qemu-img create: %v\n%s", err, out)
			}
			v := h.startNet(t, append(boot(t), image, "--name", "web")...)
			v.guestHas(t, "printf '"+marker+"' | dd of=/dev/vda bs=1M seek=127 conv=fsync,notrunc && echo done", "done\n")
			v.background(t, fill(127<<20))
			v.writes(t, 4<<20)
			end(t, h, v)
			if name == "SIGKILL to QEMU" {
				h.must(t, "stop", "web")
			}
			h.turnsAsBefore(t)
			h.checkImage(t, image, name == "SIGKILL to QEMU")
			if got := h.disk(t, image)[127<<20:]; !strings.HasPrefix(got, marker) {
				t.Errorf("what the guest had made sure of is lost: %.20q", got)
			}
		})
	}
}

// TestQEMUThatFlushesSlowly makes a stopped QEMU take longer to write out its
// disks than one may do nothing.
func TestQEMUThatFlushesSlowly(t *testing.T) {
	t.Parallel()
	h := newHost(t)
	image := lab.BlankDisk(t, "qcow2")
	v := h.startNet(t, append(boot(t), image, "--name", "web")...)
	v.guestHas(t, "printf '"+marker+"' >/tmp/marker && truncate -s 4096 /tmp/marker && dd if=/tmp/marker of=/dev/vda bs=4k oflag=direct && echo done", "done\n")
	strace := h.Host.Start(t, "strace", "-f", "-p", fmt.Sprint(v.PID), "-e", "trace=fdatasync", "-e", "inject=fdatasync:delay_enter=35s:when=1")
	strace.Stderr.WaitFor(t, "attached", patience)
	began := time.Now()
	stop := h.Host.Start(t, "kvmrun", "stop", "--force", "web")
	r := stop.Wait(t, 2*time.Minute)
	if r.ExitCode != 0 || !strings.Contains(r.Stderr, "still writes") {
		t.Errorf("stop: %s", r)
	}
	if took := time.Since(began); took < 35*time.Second {
		t.Errorf("QEMU ended after %v, before it can have flushed", took)
	}
	strace.Wait(t, patience)
	h.checkImage(t, image, false)
	if got := h.disk(t, image); !strings.HasPrefix(got, marker) {
		t.Errorf("what the guest wrote is lost: %.20q", got)
	}
	h.isAsBefore(t)
}

// TestStopOfQEMUThatASignalStopped lets it go on to flush and end by itself.
func TestStopOfQEMUThatASignalStopped(t *testing.T) {
	t.Parallel()
	h := newHost(t)
	v := h.start(t, frozen(t, "--name", "web")...)
	h.kill(t, "STOP", v.PID)
	stop := h.Host.Start(t, "kvmrun", "stop", "--force", "web")
	if r := stop.Wait(t, promptly); r.ExitCode != 0 || r.Stderr != "" {
		t.Errorf("stop: %s", r)
	}
	h.isAsBefore(t)
}

// TestQEMUThatHangs is killed when it has done nothing for a while, and that is
// said.
func TestQEMUThatHangs(t *testing.T) {
	t.Parallel()
	h := newHost(t)
	deaf := h.script(t, "deaf-qemu", "trap '' TERM; exec sleep 1000")
	h.must(t, startArgs(frozen(t, "--name", "web", "--qemu", deaf, "--wait", "none")...)...)
	stop := h.Host.Start(t, "kvmrun", "stop", "--force", "web")
	if r := stop.Wait(t, 2*time.Minute); r.ExitCode != 0 || !strings.Contains(r.Stderr, "killing it") {
		t.Errorf("stop: %s", r)
	}
	h.isAsBefore(t)
}
