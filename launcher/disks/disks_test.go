package disks

import (
	"errors"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"

	"kvmrun/images"
)

func TestDiskComesAndGoes(t *testing.T) {
	t.Parallel()
	r := At(t.TempDir())
	if kept, err := r.Kept("web"); err != nil || len(kept.Disks) != 0 {
		t.Errorf("of nothing is kept %+v, %v", kept, err)
	}
	f := open(t, r)
	add(t, f, 0)
	must(t, f.MarkRan())
	add(t, f, 1)
	kept, err := r.Kept("web")
	must(t, err)
	if len(kept.Disks) != 2 || !kept.Disks[0].Ran || kept.Disks[1].Ran || kept.Disks[1].Digest != content || uuid.Validate(kept.UUID) != nil {
		t.Errorf("kept is %+v", kept)
	}
	for _, dry := range []bool{true, false} {
		dropped, err := f.DropUnused(dry)
		if err != nil || len(dropped) != 1 || dropped[0] != r.File("web", 1) {
			t.Errorf("dropped %q, %v", dropped, err)
		}
	}
	must(t, f.Close())
	if got := left(t, r); got != " /web /web/disk0.qcow2 /web/disks.json" {
		t.Errorf("left is %s", got)
	}
	again := open(t, r)
	must(t, again.Add(uuid.NewString(), Disk{Number: 3, Image: "tiny", Digest: content}))
	if now, err := again.Record(); err != nil || now.UUID != kept.UUID || len(now.Disks) != 2 {
		t.Errorf("the machine was %+v and is %+v, %v", kept, now, err)
	}
	must(t, again.Remove())
	// The name may be another's before the lock is given back.
	other := open(t, r)
	add(t, other, 0)
	must(t, again.Close())
	must(t, other.MarkRan())
	must(t, other.Close())
	if got := left(t, r); got != " /web /web/disk0.qcow2 /web/disks.json" {
		t.Errorf("left is %s", got)
	}
}

// TestDiskThatStays: a disk stays although the record says that no guest has run with it.
func TestDiskThatStays(t *testing.T) {
	t.Parallel()
	for name, change := range map[string]func(t *testing.T, path string){
		"written to": func(t *testing.T, path string) {
			if out, err := exec.Command("qemu-img", "rebase", "-f", "qcow2", "-u", "-b", "", path).CombinedOutput(); err != nil {
				t.Fatalf("%v: %s", err, out)
			}
			if out, err := exec.Command("qemu-io", "-f", "qcow2", "-c", "write 0 512", path).CombinedOutput(); err != nil {
				t.Fatalf("%v: %s", err, out)
			}
		},
		"unreadable": func(t *testing.T, path string) { must(t, os.Truncate(path, 100)) },
		"open in a QEMU": func(t *testing.T, path string) {
			lockAsQEMU(t, path)
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := At(t.TempDir())
			f := open(t, r)
			add(t, f, 0)
			change(t, r.File("web", 0))
			dropped, _ := f.DropUnused(false)
			must(t, f.Close())
			if _, err := os.Stat(r.File("web", 0)); err != nil || len(dropped) != 0 {
				t.Errorf("dropped %q, %v", dropped, err)
			}
			if kept, err := r.Kept("web"); err != nil || len(kept.Disks) != 1 {
				t.Errorf("kept %+v, %v", kept, err)
			}
		})
	}
}

// TestNobodyRemovesWhatQEMUHas goes by QEMU's own locks, too.
func TestNobodyRemovesWhatQEMUHas(t *testing.T) {
	t.Parallel()
	r := At(t.TempDir())
	f := open(t, r)
	add(t, f, 0)
	lock := lockAsQEMU(t, r.File("web", 0))
	if err := f.Remove(); !errors.Is(err, ErrBusy) {
		t.Errorf("removed: %v", err)
	}
	must(t, lock.Close())
	must(t, f.Remove())
	must(t, f.Close())
	if got := left(t, r); got != "" {
		t.Errorf("left is %s", got)
	}
}

// TestWhatCannotBeRead is never taken for nothing, and can be removed where it is a
// folder.
func TestWhatCannotBeRead(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		change  func(t *testing.T, folder string)
		strange bool // it is no folder of ours
	}{
		"empty record":       {func(t *testing.T, d string) { write(t, d, recordFile, "") }, false},
		"record cut short":   {func(t *testing.T, d string) { write(t, d, recordFile, `{"version": 1,`) }, false},
		"record of a newer":  {func(t *testing.T, d string) { write(t, d, recordFile, `{"version": 2}`) }, false},
		"digest that is not": {func(t *testing.T, d string) { replace(t, d, string(content), "sha256:0f") }, false},
		"no record":          {func(t *testing.T, d string) { must(t, os.Remove(filepath.Join(d, recordFile))) }, false},
		"disk in no record":  {func(t *testing.T, d string) { write(t, d, "disk7.qcow2", "") }, false},
		"record is a link": {func(t *testing.T, d string) {
			must(t, os.Rename(filepath.Join(d, recordFile), filepath.Join(d, "..", "elsewhere")))
			must(t, os.Symlink("../elsewhere", filepath.Join(d, recordFile)))
		}, true},
		"folder is a link": {func(t *testing.T, d string) {
			must(t, os.Rename(d, d+"-elsewhere"))
			must(t, os.Symlink(d+"-elsewhere", d))
		}, true},
		"folder is a file":             {func(t *testing.T, d string) { must(t, os.RemoveAll(d)); write(t, filepath.Dir(d), "web", "") }, true},
		"folder that all may write to": {func(t *testing.T, d string) { must(t, os.Chmod(d, 0o777)) }, true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := At(t.TempDir())
			f := open(t, r)
			add(t, f, 0)
			must(t, f.MarkRan())
			must(t, f.Close())
			c.change(t, r.Folder("web"))
			before := left(t, r)
			if kept, err := r.Kept("web"); err == nil {
				t.Errorf("kept is %+v", kept)
			}
			f, err := r.Lock(t.Context(), "web")
			if err == nil {
				if dropped, err := f.DropUnused(false); err == nil || len(dropped) > 0 {
					t.Errorf("dropped %q, %v", dropped, err)
				}
				must(t, f.dir.Close())
			}
			if name != "record is a link" && (err != nil) != c.strange {
				t.Errorf("locked: %v", err)
			}
			if got := left(t, r); got != before {
				t.Errorf("was %s, is %s", before, got)
			}
			if c.strange {
				return
			}
			f = open(t, r)
			must(t, f.Remove())
			must(t, f.Close())
			if got := left(t, r); got != "" {
				t.Errorf("left is %s", got)
			}
		})
	}
}

// TestStrangersFiles are not removed with the disks.
func TestStrangersFiles(t *testing.T) {
	t.Parallel()
	r := At(t.TempDir())
	f := open(t, r)
	add(t, f, 0)
	write(t, r.Folder("web"), "disk0.qcow2.before", "precious")
	if err := f.Remove(); !errors.Is(err, ErrStrange) || !strings.Contains(err.Error(), "disk0.qcow2.before") {
		t.Errorf("removed: %v", err)
	}
	if dropped, err := f.DropUnused(false); err != nil || len(dropped) != 1 {
		t.Errorf("dropped %q, %v", dropped, err)
	}
	must(t, f.Close())
	if _, err := os.Stat(filepath.Join(r.Folder("web"), "disk0.qcow2.before")); err != nil {
		t.Error(err)
	}
}

// TestLockGoesWithTheLastThatHasIt: with a process that has inherited it.
func TestLockGoesWithTheLastThatHasIt(t *testing.T) {
	t.Parallel()
	data := t.TempDir()
	r := At(data)
	f := open(t, r)
	add(t, f, 0)
	share, err := f.Share()
	must(t, err)
	cmd := start(t, data, "hold", share)
	input, err := cmd.StdinPipe()
	must(t, err)
	must(t, cmd.Start())
	defer func() { _ = cmd.Process.Kill() }()
	must(t, share.Close())
	must(t, f.Close())
	if !busy(t, r) {
		t.Error("the lock is free, and a process has it")
	}
	must(t, input.Close())
	must(t, cmd.Wait())
	f = open(t, r) // it waits: a process that another test starts may have the lock for a moment
	must(t, f.Close())
}

// TestManyProcesses make, use and remove the same disk, and others read what is kept:
// none is lost while somebody has its lock, and no reader finds something that it cannot
// read.
func TestManyProcesses(t *testing.T) {
	t.Parallel()
	data := t.TempDir()
	r := At(data)
	must(t, os.MkdirAll(r.path, 0o700))
	var all []*exec.Cmd
	for range 6 {
		cmd := start(t, data, "churn")
		must(t, cmd.Start())
		defer func() { _ = cmd.Process.Kill() }()
		all = append(all, cmd)
	}
	ended := make(chan error, 1)
	go func() {
		var errs []error
		for _, cmd := range all {
			errs = append(errs, cmd.Wait())
		}
		ended <- errors.Join(errs...)
	}()
	reads, found := 0, 0
	for {
		select {
		case err := <-ended:
			if err != nil {
				t.Error(err) // which they have said themselves
			}
			if reads < 100 || found == 0 {
				t.Errorf("it was looked only %d times, and %d disks were seen", reads, found)
			}
			return
		default:
		}
		kept, err := r.Kept("web")
		if err != nil {
			t.Fatal(err)
		}
		reads, found = reads+1, found+len(kept.Disks)
	}
}

// TestKilledAtAnyTime kills processes that make and remove disks. What they leave can be
// read, and swept.
func TestKilledAtAnyTime(t *testing.T) {
	t.Parallel()
	data := t.TempDir()
	r := At(data)
	for n := range 60 {
		cmd := start(t, data, "churn")
		must(t, cmd.Start())
		select { // the time is what is tested
		case <-time.After(time.Duration(n) * time.Millisecond):
		case <-t.Context().Done():
		}
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
		kept, err := r.Kept("web")
		must(t, err)
		for _, d := range kept.Disks {
			if _, err := images.Inspect(r.File("web", d.Number), images.QCOW2); err != nil && (d.Ran || !errors.Is(err, images.ErrNotExist)) {
				t.Fatalf("killed after %d ms: %v", n, err)
			}
		}
	}
	f := open(t, r)
	must(t, f.MarkRan())
	must(t, f.Remove())
	must(t, f.Close())
	if _, err := r.Sweep(false); err != nil {
		t.Fatal(err)
	}
	if got := left(t, r); got != "" {
		t.Errorf("left is %s", got)
	}
}

func TestNames(t *testing.T) {
	t.Parallel()
	r := At(t.TempDir())
	if names, err := r.Names(); err != nil || len(names) != 0 {
		t.Errorf("%q, %v", names, err)
	}
	for _, name := range []string{"web", "lost+found", ".old-x", ".old-" + uuid.NewString()} {
		must(t, os.MkdirAll(r.Folder(name), 0o700))
	}
	must(t, os.Symlink("/etc", r.Folder("link")))
	write(t, r.path, "file", "")
	names, err := r.Names()
	if err != nil || strings.Join(names, " ") != "link web" {
		t.Errorf("%q, %v", names, err)
	}
	for _, dry := range []bool{true, false} {
		if swept, err := r.Sweep(dry); err != nil || len(swept) != 1 {
			t.Errorf("swept %q, %v", swept, err)
		}
	}
	if _, err := At(r.File("..", 0)).Names(); err != nil && !errors.Is(err, fs.ErrNotExist) {
		t.Error(err)
	}
	file := At(filepath.Join(r.path, "file"))
	if _, err := file.Names(); err == nil {
		t.Error("a file has no names, and says nothing")
	}
}

// TestWhatLiesBesideDisks goes with them, and is no reason to keep a folder.
func TestWhatLiesBesideDisks(t *testing.T) {
	t.Parallel()
	r := At(t.TempDir())
	for name, last := range map[string]func(*Folder) error{"removed": (*Folder).Remove, "without disks": func(f *Folder) error {
		_, err := f.DropUnused(false)
		return err
	}} {
		f := open(t, r)
		add(t, f, 0)
		for _, file := range besideDisks {
			write(t, r.Folder("web"), file, "x")
		}
		must(t, last(f))
		must(t, f.Close())
		if got := left(t, r); got != "" {
			t.Errorf("%s: left is %s", name, got)
		}
	}
}
