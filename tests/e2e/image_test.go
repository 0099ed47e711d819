package e2e

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"kvmrun/tests/lab"
	"kvmrun/tests/trace"
)

// image is an image as kvmrun image ls --json shows it.
type image struct {
	Name        string   `json:"name"`
	Digest      string   `json:"digest"`
	VirtualSize int64    `json:"virtual_size"`
	Path        string   `json:"path"`
	Missing     bool     `json:"missing"`
	UsedBy      []string `json:"used_by"`
}

func (h *host) images(t *testing.T) []image {
	t.Helper()
	var found []image
	decode(t, h.Host.MustRun(t, "kvmrun", "image", "ls", "--json"), &found)
	return found
}

// rawDisk makes a raw disk of 4 MiB with something on it.
func rawDisk(t *testing.T, what string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "disk.raw")
	if err := os.WriteFile(path, []byte(strings.Repeat(what, 10_000)), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Truncate(path, 4<<20); err != nil {
		t.Fatal(err)
	}
	return path
}

// TestImageOfItsOwn follows an image from a file to a guest that boots from it and
// cannot change it, and out of the store again.
func TestImageOfItsOwn(t *testing.T) {
	t.Parallel()
	h := newHost(t)
	disk := lab.Guest(t).Disk
	h.must(t, "image", "import", disk, "guest")
	path := strings.TrimSpace(h.must(t, "image", "path", "guest"))
	if r := h.Host.Run(t, "kvmrun", "start", path, "--name", "web"); r.ExitCode != 7 || !strings.Contains(r.Stderr, "never written to") {
		t.Errorf("a start that would write to the image: %s", r)
	}
	h.startNet(t, path, "--ephemeral", "--name", "web")
	overlay := filepath.Join(t.TempDir(), "overlay.qcow2")
	if out, err := exec.Command("qemu-img", "create", "-q", "-f", "qcow2", "-b", path, "-F", "qcow2", "-u", overlay, "64M").CombinedOutput(); err != nil {
		t.Fatalf("qemu-img create: %v\n%s", err, out)
	}
	h.start(t, overlay, "--allow-backing", "--name", "db", "--", "-S")

	want := image{Name: "guest", Path: path, UsedBy: []string{"VM db", "VM web"}}
	var one image
	decode(t, h.must(t, "image", "inspect", "guest", "--json"), &one)
	if list := h.images(t); len(list) != 1 || !slices.Equal(list[0].UsedBy, want.UsedBy) || list[0].Path != path || one.Digest != list[0].Digest {
		t.Errorf("listed %+v, want %+v", list, want)
	}
	if text := h.must(t, "image", "ls"); !strings.Contains(text, "VM db, VM web") || !strings.Contains(text, disk) {
		t.Errorf("listed as\n%s", text)
	}
	if says := h.fails(t, 8, "image", "rm", "guest"); !strings.Contains(says, "VM db, VM web needs it") {
		t.Errorf("rm says %q", says)
	}
	h.must(t, "stop", "--force", "web")
	if says := h.fails(t, 8, "image", "rm", "guest"); !strings.Contains(says, ": VM db needs it") {
		t.Errorf("rm says %q", says)
	}
	h.must(t, "stop", "--force", "db")
	if text := h.must(t, "image", "verify"); text != "ok    guest\n" {
		t.Errorf("verify says %q", text)
	}
	h.must(t, "image", "rm", "guest")
	h.isAsBefore(t)
}

// TestHundredImports imports the same and different files under the same and
// different names at once, beside commands that remove and prune.
func TestHundredImports(t *testing.T) {
	t.Parallel()
	h := newHost(t)
	one, two := lab.BlankDisk(t, "qcow2"), rawDisk(t, "two")
	said := h.sh(t, fmt.Sprintf(`
		for i in $(seq 25); do
			kvmrun image import %[1]s same >/dev/null 2>&1 || echo "same $i: $?" &
			kvmrun image import %[1]s one-$i >/dev/null || echo "one-$i: $?" &
			kvmrun image import %[2]s two-$i >/dev/null || echo "two-$i: $?" &
			{ kvmrun image import %[2]s passing >/dev/null 2>&1 && kvmrun image rm passing 2>/dev/null; s=$?; [ $s = 0 ] || [ $s = 3 ] || echo "passing $i: $s"; } &
			[ $((i %% 8)) != 0 ] || kvmrun image prune >/dev/null || echo "prune: $?" &
		done
		wait`, one, two))
	if said != "" {
		t.Errorf("failed:\n%s", said)
	}
	digests := map[string]int{}
	for _, i := range h.images(t) {
		if i.Name != "passing" {
			digests[i.Digest]++
		}
		if i.Missing {
			t.Errorf("%s has no content", i.Name)
		}
	}
	counts := []int{}
	for _, n := range digests {
		counts = append(counts, n)
	}
	slices.Sort(counts)
	if !slices.Equal(counts, []int{25, 26}) {
		t.Errorf("so many names has each content: %v", counts)
	}
	h.must(t, "image", "verify")
	h.sh(t, "kvmrun image ls -q | xargs kvmrun image rm")
	h.isAsBefore(t)
}

// TestImportThatIsInterrupted by Ctrl-C while something is converted.
func TestImportThatIsInterrupted(t *testing.T) {
	t.Parallel()
	h := newHost(t)
	h.Host.MustRun(t, "mkdir", "/run/slow")
	h.script(t, "slow/qemu-img", "exec sleep 1000")
	how := lab.Run{Env: []string{"PATH=/run/slow:/usr/bin:/bin"}}
	for _, s := range []os.Signal{unix.SIGINT, unix.SIGTERM, unix.SIGKILL} {
		p := h.Host.StartWith(t, how, "kvmrun", "image", "import", rawDisk(t, "x"), "web")
		lab.Eventually(t, patience, func() error {
			found, err := filepath.Glob(h.Host.File("/var/lib/kvmrun/images/partial/*/target"))
			if err == nil && (len(found) != 1 || !h.runs(t, "sleep 1000")) {
				err = fmt.Errorf("nothing is converted: %q", found)
			}
			return err
		})
		p.Signal(t, s)
		r := p.Wait(t, promptly)
		if s == unix.SIGKILL {
			lab.Eventually(t, patience, func() error {
				if h.runs(t, "sleep 1000") {
					return fmt.Errorf("the converter lives on")
				}
				return nil
			})
			if text := h.must(t, "image", "prune"); !strings.HasPrefix(text, "removed ") {
				t.Errorf("prune says %q", text)
			}
		} else if r.ExitCode != 130 || r.Stdout != "" || !strings.Contains(r.Stderr, "interrupted") {
			t.Errorf("want exit status 130 and nothing on standard output: %s", r)
		}
		h.isAsBefore(t)
	}
}

// runs tells whether a process of this command line runs on the host.
func (h *host) runs(t *testing.T, line string) bool {
	t.Helper()
	return slices.Contains(h.Host.Processes(t), line)
}

// TestImageKilledAtAnyCall kills commands at system calls that change the host, one
// after another. There is never a part of an image, and the next import does all.
func TestImageKilledAtAnyCall(t *testing.T) {
	t.Parallel()
	raw, other, qcow2 := rawDisk(t, "y"), rawDisk(t, "other"), lab.BlankDisk(t, "qcow2")
	for name, c := range map[string]struct{ command, before []string }{
		"import as it is":    {command: []string{"import", qcow2, "web"}},
		"import and convert": {command: []string{"import", raw, "web"}},
		"replace":            {[]string{"import", "--replace", raw, "web"}, []string{"import", other, "web"}},
		"remove":             {[]string{"rm", "web"}, []string{"import", qcow2, "web"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			h := newHost(t)
			prepare := func() {
				if c.before != nil {
					h.Host.MustRun(t, "kvmrun", append([]string{"image"}, c.before...)...)
				}
			}
			command := append([]string{lab.Binary(t), "image"}, c.command...)
			prepare()
			whole := h.trace(t, trace.Order{Command: command})
			calls := whole.Count(trace.Command)
			if whole.Exit != 0 || calls < 5 {
				t.Fatalf("exit status %d after %d calls: %v", whole.Exit, calls, whole.Calls)
			}
			h.emptyStore(t)
			const step = 3
			for at := 1 + time.Now().Nanosecond()%step; at <= calls; at += step {
				prepare()
				report := h.trace(t, trace.Order{Command: command, Trigger: trace.Command, At: at, Victims: []trace.Role{trace.Command}})
				h.wholeImages(t, c.before != nil && c.command[0] == "import")
				h.Host.MustRun(t, "kvmrun", "image", "import", "--replace", raw, "web")
				h.wholeImages(t, true)
				h.emptyStore(t)
				if t.Failed() {
					t.Fatalf("killed at call %d of %d: %s", at, calls, report.Last(trace.Command))
				}
			}
		})
	}
}

// wholeImages checks that what is in the store is whole: the image web, and that
// only if it must be there.
func (h *host) wholeImages(t *testing.T, must bool) {
	t.Helper()
	list := h.images(t)
	if len(list) > 1 || must && len(list) == 0 {
		t.Errorf("listed %+v", list)
	}
	for _, i := range list {
		if i.Missing || i.Name != "web" {
			t.Errorf("there is %+v", i)
		}
	}
	h.Host.MustRun(t, "kvmrun", "image", "verify")
}

// emptyStore removes the image web, and checks that nothing is left then.
func (h *host) emptyStore(t *testing.T) {
	t.Helper()
	h.Host.Run(t, "kvmrun", "image", "rm", "web")
	lab.Eventually(t, patience, func() error { // its child may not have ended yet
		h.Host.MustRun(t, "kvmrun", "image", "prune")
		return asError(h.change(t))
	})
}

// trace carries out an order on the host.
func (h *host) trace(t *testing.T, o trace.Order) *trace.Report {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	o.Report = filepath.Join(t.TempDir(), "report")
	variable, err := o.Environment()
	if err != nil {
		t.Fatal(err)
	}
	if r := h.Host.RunWith(t, lab.Run{Env: []string{variable}}, self); r.ExitCode != 0 {
		t.Fatalf("the tracer: %s", r)
	}
	report, err := trace.ReadReport(o.Report)
	if err != nil {
		t.Fatal(err)
	}
	return report
}

// TestImageStoreWithoutRoot: a user may have a store of his own.
func TestImageStoreWithoutRoot(t *testing.T) {
	t.Parallel()
	h := newHost(t)
	disk := rawDisk(t, "z")
	for path := filepath.Dir(disk); path != "/"; path = filepath.Dir(path) {
		if err := os.Chmod(path, 0o1777); err != nil || path == os.TempDir() {
			break
		}
	}
	if err := os.Chmod(disk, 0o644); err != nil {
		t.Fatal(err)
	}
	h.sh(t, `
		install -d -o 1234 -g 1234 /run/home
		install `+lab.Binary(t)+` /run/home/kvmrun
		export KVMRUN_DATA_DIR=/run/home/data
		as="setpriv --reuid 1234 --regid 1234 --clear-groups /run/home/kvmrun"
		$as image import `+disk+` web
		$as image verify web
		$as image rm web
		rm -r /run/home`)
	h.isAsBefore(t)
}
