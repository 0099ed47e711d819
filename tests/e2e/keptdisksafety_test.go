package e2e

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"kvmrun/tests/lab"
	"kvmrun/tests/trace"
)

// idleOn is a command line for a VM on an image whose guest never runs.
func idleOn(t *testing.T, name string, args ...string) []string {
	t.Helper()
	return frozen(t, append([]string{"tiny", "--name", name}, args...)...)
}

// keepsDisk keeps a disk with something on it under a name.
func (h *host) keepsDisk(t *testing.T, name string) {
	t.Helper()
	h.start(t, idleOn(t, name)...)
	h.must(t, "stop", "--force", name)
	h.sh(t, "qemu-io -f qcow2 -c 'write -P 0x5a 0 64k' /var/lib/kvmrun/disks/"+name+"/disk0.qcow2")
}

// hasDisk checks that what keepsDisk has written is there.
func (h *host) hasDisk(t *testing.T, name string) {
	t.Helper()
	path := "/var/lib/kvmrun/disks/" + name + "/disk0.qcow2"
	if r := h.Host.Run(t, "qemu-io", "-f", "qcow2", "-r", "-c", "read -P 0x5a 0 64k", path); r.ExitCode != 0 || strings.Contains(r.Stdout, "failed") {
		t.Errorf("the disk of %s is lost: %s", name, r)
	}
	h.Host.MustRun(t, "qemu-img", "check", "-q", path)
}

// TestKeptDiskIsWantedByMany starts, removes, commits and tidies up one name from many
// processes, beside a disk that nobody touches: none is lost, nor the image beneath them.
func TestKeptDiskIsWantedByMany(t *testing.T) {
	t.Parallel()
	h := withImage(t, lab.BlankDisk(t, "qcow2"))
	h.keepsDisk(t, "keep")
	start := "kvmrun " + strings.Join(startArgs(idleOn(t, "web")...), " ")
	said := h.sh(t, `
		try() { # STATUSES COMMAND: what may come of it
			allowed=$1; shift
			says=$("$@" 2>&1) && s=0 || s=$?
			case " $allowed " in *" $s "*) ;; *) echo "$*: $s: $says" ;; esac
			return $s
		}
		for i in 1 2 3; do
			for n in 1 2 3; do
				if try "0 4 8" `+start+`; then
					[ -e `+diskOfWeb+` ] || echo "lost while it runs"
					try 8 kvmrun image rm tiny || :
					try "4 8" kvmrun rm web || :
					try 0 kvmrun stop --force web || :
				fi
			done &
			for n in 1 2 3 4 5 6 7 8 9; do try "0 3 4 8" kvmrun rm web || :; done &
			for n in 1 2 3 4 5 6; do try 8 kvmrun image rm tiny || :; try 0 kvmrun image prune || :; done &
			for n in 1 2 3; do try 0 kvmrun gc || :; try 0 kvmrun list -a || :; done &
			try "0 3 4 8" kvmrun commit web snap-$i || : &
		done
		wait`)
	if said != "" {
		t.Errorf("what may not be:\n%s", said)
	}
	h.hasDisk(t, "keep")
	h.sh(t, "for d in /var/lib/kvmrun/disks/*/disk0.qcow2; do qemu-img check -q $d; done")
	h.must(t, "image", "verify")
	h.run(t, "rm", "web")
	h.must(t, "rm", "keep")
	h.sh(t, "kvmrun image ls -q | grep snap | xargs -r kvmrun image rm")
	h.isAsBefore(t)
}

// TestKeptDiskAndKilledCommands kills start and rm at their calls that change something,
// with the supervisor or alone. A disk is there as it was, or was removed as a whole.
func TestKeptDiskAndKilledCommands(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		kept    bool // there is a disk before
		removes bool
		command []string
		victims []trace.Role
	}{
		"first start":               {false, false, startArgs(idleOn(t, "web")...), []trace.Role{trace.Command}},
		"first start, all":          {false, false, startArgs(idleOn(t, "web")...), []trace.Role{trace.Command, trace.Supervisor, trace.QEMU}},
		"start of a kept disk, all": {true, false, startArgs(idleOn(t, "web")...), []trace.Role{trace.Command, trace.Supervisor, trace.QEMU}},
		"rm":                        {true, true, []string{"rm", "web"}, []trace.Role{trace.Command}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			h := withImage(t, lab.BlankDisk(t, "qcow2"))
			clear := func() {
				h.Host.Run(t, "kvmrun", "stop", "--force", "web")
				h.Host.Run(t, "kvmrun", "rm", "web")
			}
			prepare := func() {
				if c.kept {
					h.keepsDisk(t, "web")
				}
			}
			command := append([]string{lab.Binary(t)}, c.command...)
			prepare()
			calls := h.trace(t, trace.Order{Command: command}).Count(trace.Command)
			if calls < 3 {
				t.Fatalf("only %d calls", calls)
			}
			clear()
			step := calls/8 + 1
			for at := 1 + time.Now().Nanosecond()%step; at <= calls; at += step {
				prepare()
				report := h.trace(t, trace.Order{Command: command, Trigger: trace.Command, At: at, Victims: c.victims})
				lab.Eventually(t, patience, func() error { // who was killed may hold a lock for a moment yet
					if r := h.Host.Run(t, "kvmrun", "image", "rm", "none"); r.ExitCode != 3 {
						return fmt.Errorf("what is needed cannot be told: %s", r)
					}
					r := h.Host.Run(t, "kvmrun", "gc")
					if r.ExitCode != 0 {
						return fmt.Errorf("gc fails: %s", r)
					}
					return nil
				})
				h.Host.Run(t, "kvmrun", "stop", "--force", "web")
				if left := h.kept(t); c.kept && (left != "" || !c.removes) {
					h.hasDisk(t, "web")
					h.fails(t, 8, "image", "rm", "tiny")
				}
				h.start(t, idleOn(t, "web")...)
				clear()
				h.must(t, "gc")
				h.isAsBefore(t)
				if t.Failed() {
					t.Fatalf("killed at call %d of %d: %s", at, calls, report.Last(trace.Command))
				}
			}
		})
	}
}

// TestKeptDiskOfTheSameMachine: a command that slept while its VM was stopped and the next
// went on with the disk, as the same machine, leaves that one alone. A disk that was made
// larger meanwhile is no reason not to restart it.
func TestKeptDiskOfTheSameMachine(t *testing.T) {
	t.Parallel()
	h := withImage(t, lab.BlankDisk(t, "qcow2"))
	p := h.Host.Start(t, "kvmrun", startArgs(idleOn(t, "web", "--disk-size", "2M", "--foreground")...)...)
	p.Stdout.WaitFor(t, "web 10.254.254.2\n", patience)
	w := h.Host.Start(t, "kvmrun", "wait", "web", "--for", "exit")
	lab.Eventually(t, patience, func() error { return watching(w.PID, 1) })
	first := h.inspect(t, "web")
	p.Signal(t, unix.SIGSTOP)
	h.must(t, "stop", "--force", "web")
	if r := w.Wait(t, patience); r.ExitCode != 0 {
		t.Errorf("wait for the end: %s", r)
	}
	next := h.start(t, idleOn(t, "web")...)
	if next.UUID != first.UUID {
		t.Errorf("the machine was %s and is %s", first.UUID, next.UUID)
	}
	p.Signal(t, unix.SIGINT)
	p.Signal(t, unix.SIGCONT)
	if r := p.Wait(t, patience); r.ExitCode != 0 {
		t.Errorf("the first one's command: %s", r)
	}
	if now := h.inspect(t, "web"); now.PID != next.PID || now.State != "paused" {
		t.Errorf("the next VM is not as it was: %+v", now.vm)
	}
	h.must(t, "stop", "--force", "web")

	h.start(t, idleOn(t, "web", "--disk-size", "3M")...)
	h.must(t, "qmp", "web", "block_resize", `{"node-name": "disk0", "size": 5242880}`)
	h.must(t, "restart", "--force", "web")
	h.must(t, "stop", "--force", "web")
	if got := h.sh(t, "qemu-img info "+diskOfWeb); !strings.Contains(got, "5 MiB") {
		t.Errorf("the disk is now\n%s", got)
	}
	h.must(t, "rm", "web")
	h.isAsBefore(t)
}

// TestKeptDiskInAnotherPlace has the data directory behind a symbolic link, moves it, and
// uses it from two run directories.
func TestKeptDiskInAnotherPlace(t *testing.T) {
	t.Parallel()
	h := withImage(t, lab.BlankDisk(t, "qcow2"))
	h.sh(t, "mv /var/lib/kvmrun /run/data; ln -s /run/data /var/lib/kvmrun")
	h.keepsDisk(t, "web")
	h.must(t, "commit", "web", "snap")
	h.sh(t, "rm /var/lib/kvmrun; mv /run/data /var/lib/kvmrun")
	h.start(t, idleOn(t, "web")...)
	other := []string{"--run-dir", "/run/other"}
	h.fails(t, 8, append(other, startArgs(idleOn(t, "web")...)...)...)
	h.fails(t, 8, append(other, "rm", "web")...)
	h.fails(t, 8, append(other, "image", "rm", "tiny")...)

	v := h.inspect(t, "web")
	h.kill(t, "STOP", v.Details.Supervisor.PID) // nothing is written anew meanwhile
	h.sh(t, "rm -r /run/kvmrun")
	h.fails(t, 8, "rm", "web")
	h.fails(t, 8, "image", "rm", "tiny")
	if found := h.must(t, "gc"); strings.Contains(found, "disk0") {
		t.Errorf("gc takes the disk of a VM whose record is lost: %s", found)
	}
	h.kill(t, "CONT", v.Details.Supervisor.PID)
	h.isMended(t, v)
	h.must(t, "stop", "--force", "web")
	h.hasDisk(t, "web")
	h.must(t, "rm", "web")
	h.must(t, "image", "rm", "snap")
	h.sh(t, "rm -r /run/other")
	h.isAsBefore(t)
}
