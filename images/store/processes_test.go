package store

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"kvmrun/images"
)

// TestManyProcesses imports the same and different files in many processes, with
// others that remove and prune beside them.
func TestManyProcesses(t *testing.T) {
	t.Parallel()
	s := newStore(t)
	qcow2 := converted(t, rawDisk(t, 40, 1<<20), "qcow2")
	raw := rawDisk(t, 41, 1<<20)
	type process struct {
		cmd  *exec.Cmd
		said fmt.Stringer
	}
	var all []process
	start := func(what string, args ...string) {
		cmd, said := startChild(t, s.dir, what, args...)
		all = append(all, process{cmd, said})
	}
	const many = 25
	for n := range many {
		start("import", qcow2, "same")
		start("import", qcow2, fmt.Sprintf("q%d", n))
		start("import", raw, fmt.Sprintf("r%d", n), "passing")
		start("remove", "passing", "q0", "r0")
		if n%5 == 0 {
			start("prune")
		}
	}
	for _, p := range all {
		if err := p.cmd.Wait(); err != nil {
			t.Errorf("%q: %v: %s", p.cmd.Args[2:], err, p.said)
		}
	}
	list, err := s.List()
	if err != nil {
		t.Fatal(err)
	}
	names := map[string]bool{}
	for _, i := range list {
		names[i.Name] = true
	}
	for n := 1; n < many; n++ {
		if !names[fmt.Sprintf("q%d", n)] || !names[fmt.Sprintf("r%d", n)] {
			t.Errorf("image %d is not there: %v", n, names)
		}
	}
	if blobs, err := s.listBlobs(); err != nil || len(blobs) != 2 || !names["same"] {
		t.Errorf("blobs: %v, %v", blobs, err)
	}
	sound(t, s)
	empty(t, s)
}

// TestKilledAtAnyTime kills imports after random times, and what they run with them.
// Whatever was left, the next one succeeds, and nothing is left then.
func TestKilledAtAnyTime(t *testing.T) {
	t.Parallel()
	raw := rawDisk(t, 42, 8<<20)
	for name, from := range map[string]string{"converted": raw, "as it is": converted(t, raw, "qcow2")} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newStore(t)
			took := timeOf(t, s, from)
			const enough = 15
			unfinished := 0
			for n := 0; unfinished < enough; n++ {
				if n > 20*enough {
					t.Fatalf("only %d of %d were killed before their end", unfinished, n)
				}
				cmd, _ := startChild(t, s.dir, "import", from, "web")
				select { // the time is what is tested
				case <-time.After(rand.N(took)):
				case <-t.Context().Done():
				}
				if err := cmd.Process.Kill(); err != nil && !errors.Is(err, os.ErrProcessDone) {
					t.Fatal(err)
				}
				if cmd.Wait() != nil {
					unfinished++
				} else {
					took = max(took*3/4, time.Millisecond) // the machine had more to do before
				}
				sound(t, s)
				if n%4 == 0 {
					sweptByImport(t, s, from)
				}
				if err := s.Remove(t.Context(), "web"); err != nil && !errors.Is(err, ErrNoImage) {
					t.Fatal(err)
				}
			}
			noConverterLives(t, s)
			swept(t, s)
			if got := files(t, s); len(got) > 1 || len(got) == 1 && got[0] != "lock" {
				t.Errorf("left are %q", got)
			}
		})
	}
}

// timeOf is how long an import takes that is let be.
func timeOf(t *testing.T, s *Store, from string) time.Duration {
	t.Helper()
	began := time.Now()
	cmd, said := startChild(t, s.dir, "import", from, "first")
	if err := cmd.Wait(); err != nil {
		t.Fatalf("%v: %s", err, said)
	}
	if err := s.Remove(t.Context(), "first"); err != nil {
		t.Fatal(err)
	}
	return time.Since(began)
}

// swept waits until an import's leavings can be removed, and are. A process that was
// killed may have a child that has not ended yet, and holds the lock along with it.
func swept(t *testing.T, s *Store) {
	t.Helper()
	eventually(t, func() error {
		if _, err := s.Prune(t.Context(), false); err != nil {
			t.Fatal(err)
		}
		entries, err := os.ReadDir(s.partial())
		if err != nil {
			t.Fatal(err)
		}
		if len(entries) > 0 {
			return fmt.Errorf("left in partial: %v", entries)
		}
		return nil
	})
}

// eventually waits for what other processes bring about, of which nothing tells.
func eventually(t *testing.T, condition func() error) {
	t.Helper()
	for deadline := time.Now().Add(10 * time.Second); ; time.Sleep(5 * time.Millisecond) {
		err := condition()
		if err == nil {
			return
		}
		if time.Now().After(deadline) {
			t.Fatal(err)
		}
	}
}

// sweptByImport is swept by what the next import does.
func sweptByImport(t *testing.T, s *Store, from string) {
	t.Helper()
	for deadline := time.Now().Add(10 * time.Second); ; {
		cmd, said := startChild(t, s.dir, "import", from, "web")
		if err := cmd.Wait(); err != nil {
			t.Fatalf("after another was killed: %v: %s", err, said)
		}
		entries, err := os.ReadDir(s.partial())
		if err != nil {
			t.Fatal(err)
		}
		if len(entries) == 0 {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("left in partial: %v", entries)
		}
	}
}

// noConverterLives checks that no qemu-img outlives who started it.
func noConverterLives(t *testing.T, s *Store) {
	t.Helper()
	eventually(t, func() error {
		links, _ := filepath.Glob("/proc/[0-9]*/fd/3")
		for _, link := range links {
			if to, err := os.Readlink(link); err == nil && strings.HasPrefix(to, s.partial()) {
				return fmt.Errorf("%s is still open in the store", link)
			}
		}
		return nil
	})
}

// TestFullDisk fills a small file system: the error says so, and nothing is left.
func TestFullDisk(t *testing.T) {
	t.Parallel()
	if os.Geteuid() != 0 {
		t.Skip("only root can mount a file system")
	}
	raw := rawDisk(t, 43, 4<<20) // 256 KiB of data
	qcow2 := converted(t, raw, "qcow2")
	small := folder(t)
	if err := unix.Mount("tmpfs", small, "tmpfs", 0, "size=1m"); err != nil {
		t.Skipf("no file system of its own: %v", err)
	}
	t.Cleanup(func() { _ = unix.Unmount(small, unix.MNT_DETACH) })
	s := open(filepath.Join(small, "images"))
	fill := filepath.Join(small, "fill")
	seen := 0
	for room := 0; room <= 1024; room += 64 {
		for _, from := range []string{raw, qcow2} {
			if err := os.WriteFile(fill, make([]byte, (1024-room)<<10), 0o600); err != nil && !errors.Is(err, unix.ENOSPC) {
				t.Fatal(err)
			}
			_, _, err := s.Import(t.Context(), Request{Path: from, Name: "web"})
			if err != nil {
				seen++
				if !errors.Is(err, unix.ENOSPC) {
					t.Errorf("with %d KiB: %v", room, err)
				}
				if len(files(t, s)) > 1 {
					t.Errorf("with %d KiB: left are %q", room, files(t, s))
				}
			}
			sound(t, s)
			empty(t, s)
			if err := s.Remove(t.Context(), "web"); err != nil && !errors.Is(err, ErrNoImage) {
				t.Error(err)
			}
			if err := os.Remove(fill); err != nil {
				t.Fatal(err)
			}
		}
	}
	if seen < 4 {
		t.Errorf("the disk was full only %d times", seen)
	}
}

// TestFullDiskSparesSome: what is converted leaves room for what else is there, and so
// does what is only copied.
func TestFullDiskSparesSome(t *testing.T) {
	t.Parallel()
	if os.Geteuid() != 0 {
		t.Skip("only root can mount a file system")
	}
	const size, spare = 256 << 20, 8 << 20 // a thirty-second
	small := folder(t)
	if err := unix.Mount("tmpfs", small, "tmpfs", 0, fmt.Sprintf("size=%d", size)); err != nil {
		t.Skipf("no file system of its own: %v", err)
	}
	t.Cleanup(func() { _ = unix.Unmount(small, unix.MNT_DETACH) })
	s := open(filepath.Join(small, "images"))
	large := filepath.Join(folder(t), "large.raw")
	if err := os.WriteFile(large, bytes.Repeat([]byte{1}, 200<<20), 0o600); err != nil {
		t.Fatal(err)
	}
	// The copy has room, and what is made of it has not.
	_, _, err := s.Import(t.Context(), Request{Path: large, Name: "web"})
	if !errors.Is(err, unix.ENOSPC) {
		t.Errorf("converted: %v", err)
	}
	if len(files(t, s)) > 1 {
		t.Errorf("left are %q", files(t, s))
	}
	// What qemu-img may write is what its shell says of its limits, in units of 512 bytes.
	fake := program(t, "#!/bin/sh\nulimit -f >&2\nexit 1\n")
	w := mustWork(t, s)
	to, err := w.create(target)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = to.Close() }()
	// Children that other tests start have this process's files for a moment.
	var room int64
	eventually(t, func() (err error) {
		if room, err = left(to); err == nil && room < size/2 {
			err = fmt.Errorf("left are %d of %d", room, size)
		}
		return err
	})
	if room > size-spare {
		t.Errorf("%d of %d may be used", room, size)
	}
	words, err := qemuImg{program: fake, given: to, room: room}.run(t.Context())
	if words != fmt.Sprint(room/512) {
		t.Errorf("limited to %q and not %d: %v", words, room/512, err)
	}
	if err := to.Truncate(0); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(small, "fill"), make([]byte, size-spare-(1<<20)), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := copyFile(t.Context(), to, mustOpen(t, large), 200<<20, false, nil); !errors.Is(err, unix.ENOSPC) {
		t.Errorf("copied: %v", err)
	}
	var fs unix.Statfs_t
	if err := unix.Statfs(small, &fs); err != nil {
		t.Fatal(err)
	}
	if free := int64(fs.Bavail) * fs.Bsize; free == 0 {
		t.Error("nothing is left free")
	}
	if err := w.end(); err != nil {
		t.Error(err)
	}
}

func mustOpen(t *testing.T, path string) *os.File {
	t.Helper()
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = f.Close() })
	return f
}

// program is a program that every user can execute.
func program(t *testing.T, script string) string {
	t.Helper()
	path := filepath.Join(folder(t), "program")
	if err := os.WriteFile(path, []byte(script), 0o755); err != nil {
		t.Fatal(err)
	}
	letIn(t, filepath.Dir(path))
	return path
}

// TestConverterDies: a qemu-img that is killed, or would need more memory than it may
// have, has found nothing sound. One that fails without a word has.
func TestConverterDies(t *testing.T) {
	t.Parallel()
	s := newStore(t)
	vmdk := converted(t, rawDisk(t, 44, 4<<20), "vmdk")
	if _, _, err := s.Import(t.Context(), Request{Path: converted(t, rawDisk(t, 45, 4<<20), "qcow2"), Name: "web"}); err != nil {
		t.Fatal(err)
	}
	real, err := exec.LookPath(testedQEMUImg())
	if err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		script string // in place of qemu-img check; as the first of its processes it is not to be killed by kill
		died   bool
	}{
		"killed":   {`exec perl -e 'unpack "p", pack "L!", 1'`, true},
		"memory":   {"ulimit -v >&2; echo qemu-img: Could not: Cannot allocate memory >&2; exit 1", true},
		"silently": {"exit 1", false},
	} {
		t.Run(name, func(t *testing.T) {
			s.options.QEMUImg = program(t, "#!/bin/sh\nif [ \"$1\" = check ]; then "+c.script+"; fi\nexec "+real+" \"$@\"\n")
			found, err := s.Verify(t.Context(), []string{"web"}, nil)
			if c.died {
				wantKind(t, err, ErrConverterDied, "qemu-img", "kernel's log")
			} else if err != nil || len(found) != 1 || found[0].OK {
				t.Errorf("%+v, %v", found, err)
			}
			_, _, err = s.Import(t.Context(), Request{Path: vmdk, Name: "other"})
			if errors.Is(err, ErrConverterDied) != c.died || err == nil {
				t.Errorf("import: %v", err)
			}
		})
	}
}

// TestConverterHasNoRights: who reads what others wrote runs as a user of its own,
// without any capability, without a way to get one, and where no network is.
func TestConverterHasNoRights(t *testing.T) {
	t.Parallel()
	if os.Geteuid() != 0 {
		t.Skip("only root can run programs as others")
	}
	s := newStore(t)
	fake := filepath.Join(folder(t), "fake-qemu-img")
	script := "#!/bin/sh\ngrep -E '^(Uid|Gid|Groups|CapEff|CapPrm|CapBnd|NoNewPrivs):' /proc/self/status >&2\n" +
		"ls /proc/self/fd /proc/self/fd/3/ >&2\ncat /proc/net/dev >&2\ntouch /proc/self/fd/3/mine >&2\n" +
		"for n in net pid ipc; do readlink /proc/self/ns/$n >&2; done\nulimit -v >&2\nexit 1\n"
	if err := os.WriteFile(fake, []byte(script), 0o755); err != nil {
		t.Fatal(err)
	}
	letIn(t, filepath.Dir(fake))
	w := mustWork(t, s)
	user, err := s.user()
	if err != nil {
		t.Fatal(err)
	}
	if err := w.give(user); err != nil {
		t.Fatal(err)
	}
	given, err := w.reach()
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = given.Close() }()
	said := &tail{}
	q := qemuImg{program: fake, user: user, given: given}
	_ = q.start(t.Context(), fake, said, q.isolation())
	text := string(said.text)
	for _, want := range []string{
		fmt.Sprintf("Uid:\t%d\t%d\t%d\t%d\n", user, user, user, user),
		fmt.Sprintf("Gid:\t%d\t%d\t%d\t%d\n", user, user, user, user),
		"Groups:\t \n", "CapPrm:\t0000000000000000\n", "CapEff:\t0000000000000000\n", "NoNewPrivs:\t1\n",
		"CapBnd:", "lo:", fmt.Sprintf("\n%d\n", maxMemory>>10),
	} {
		if !strings.Contains(text, want) {
			t.Errorf("not %q:\n%s", want, text)
		}
	}
	if _, err := os.Lstat(w.file("mine")); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("it could make a file: %v", err)
	}
	for _, n := range []string{"net", "pid", "ipc"} {
		ours, err := os.Readlink("/proc/self/ns/" + n)
		if err != nil || strings.Contains(text, ours) {
			t.Errorf("it shares %s with this process, %v:\n%s", ours, err, text)
		}
	}
	if err := w.end(); err != nil {
		t.Error(err)
	}
}

// letIn lets other users reach a folder of the test's.
func letIn(t *testing.T, dir string) {
	t.Helper()
	for ; dir != os.TempDir() && dir != "/"; dir = filepath.Dir(dir) {
		if err := os.Chmod(dir, 0o755); err != nil {
			t.Fatal(err)
		}
	}
}

// TestConverterThatWasTakenOver makes an image that names a file of the host's: that
// does not get into the store.
func TestConverterThatWasTakenOver(t *testing.T) {
	t.Parallel()
	raw := rawDisk(t, 44, 1<<20)
	dir := folder(t)
	fake, made := filepath.Join(dir, "fake-qemu-img"), filepath.Join(dir, "made")
	if err := images.CreateOverlay(made, images.Overlay{VirtualSize: 1 << 20, BackingFile: "/etc/shadow", BackingFormat: images.Raw}); err != nil {
		t.Fatal(err)
	}
	script := "#!/bin/sh\nfor last; do :; done\ncat " + made + " >$last\n"
	if err := errors.Join(os.WriteFile(fake, []byte(script), 0o755), os.Chmod(made, 0o644)); err != nil {
		t.Fatal(err)
	}
	letIn(t, dir)
	s := newStore(t)
	s.options.QEMUImg = fake
	_, _, err := s.Import(t.Context(), Request{Path: raw, Name: "web"})
	wantKind(t, err, images.ErrCorrupt, raw, "no disk by itself")
	if blobs, err := s.listBlobs(); err != nil || len(blobs) != 0 {
		t.Errorf("stored: %v, %v", blobs, err)
	}
	empty(t, s)
}

func mustWork(t *testing.T, s *Store) *work {
	t.Helper()
	if err := s.make(); err != nil {
		t.Fatal(err)
	}
	w, err := s.newWork()
	if err != nil {
		t.Fatal(err)
	}
	return w
}

// TestSweepAndNewcomer has folders made and swept at the same time: who makes one
// has it for itself.
func TestSweepAndNewcomer(t *testing.T) {
	t.Parallel()
	s := newStore(t)
	if err := s.make(); err != nil {
		t.Fatal(err)
	}
	stop, stopped := make(chan struct{}), make(chan error)
	go func() {
		for {
			select {
			case <-stop:
				stopped <- nil
				return
			default:
			}
			if err := s.abandoned(func(string) bool { return true }); err != nil {
				stopped <- err
				return
			}
		}
	}()
	for range 500 {
		w, err := s.newWork()
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(w.file("x"), nil, 0o600); err != nil {
			t.Fatal(err)
		}
		if err := w.end(); err != nil {
			t.Fatal(err)
		}
	}
	close(stop)
	if err := <-stopped; err != nil {
		t.Error(err)
	}
	empty(t, s)
}
