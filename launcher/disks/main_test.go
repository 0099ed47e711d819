package disks

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"

	"kvmrun/images"
	"kvmrun/images/store"
)

// childVariable makes a copy of the test binary one of several processes that use the
// same disks. Its arguments are the data directory and what to do.
const childVariable = "KVMRUN_DISKS_TEST_CHILD"

func TestMain(m *testing.M) {
	if os.Getenv(childVariable) != "" {
		if err := child(At(os.Args[1]), os.Args[2]); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	os.Exit(m.Run())
}

// child is one of several processes.
func child(r Root, what string) error {
	switch what {
	case "hold": // the lock, which is inherited as descriptor 3, until the input ends
		_, err := os.Stdin.Read(make([]byte, 1))
		if err.Error() != "EOF" {
			return err
		}
		return nil
	case "churn":
		for range 30 {
			if err := churn(r); err != nil {
				return err
			}
		}
		return nil
	case "once":
		return churn(r)
	}
	return errors.New("what?")
}

// content is the digest of what all disks here began with.
var content = store.Digest("sha256:" + strings.Repeat("0f", 32))

const base = "base.qcow2"

// churn makes a disk, makes sure that it is there as long as the lock is held, and
// removes it in one way or the other, or leaves it to the next.
func churn(r Root) error {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	f, err := r.Make(ctx, "web")
	if err != nil {
		return err
	}
	defer func() { _ = f.Close() }()
	if _, err := f.DropUnused(false); err != nil {
		return err
	}
	kept, err := f.Record()
	if err != nil {
		return err
	}
	if len(kept.Disks) > 0 { // one that ran: it must be there, and sound
		if _, err := images.Inspect(f.File(0), images.QCOW2); err != nil {
			return fmt.Errorf("lost: %w", err)
		}
		if uuid.New()[0]%2 == 0 {
			return f.Remove()
		}
		return nil
	}
	if err := f.Add(uuid.NewString(), Disk{Number: 0, Image: "tiny", Digest: content}); err != nil {
		return err
	}
	if err := f.Create(0, filepath.Join(r.path, base), 1<<20); err != nil {
		return err
	}
	if _, err := os.Stat(r.File("web", 0)); err != nil {
		return fmt.Errorf("lost: %w", err)
	}
	switch uuid.New()[0] % 3 {
	case 0:
		_, err = f.DropUnused(false)
	case 1:
		err = f.MarkRan()
	}
	return err
}

// start starts such a process, which ends with the test at the latest.
func start(t *testing.T, data, what string, files ...*os.File) *exec.Cmd {
	t.Helper()
	cmd := exec.Command("/proc/self/exe", data, what)
	cmd.Env = append(os.Environ(), childVariable+"=1")
	cmd.Stderr = os.Stderr
	cmd.ExtraFiles = files
	return cmd
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// open makes the folder of web.
func open(t *testing.T, r Root) *Folder {
	t.Helper()
	f, err := r.Make(t.Context(), "web")
	must(t, err)
	return f
}

// add makes a disk.
func add(t *testing.T, f *Folder, number int) {
	t.Helper()
	must(t, f.Add(uuid.NewString(), Disk{Number: number, Image: "tiny", Digest: content}))
	must(t, f.Create(number, "/srv/base.qcow2", 1<<20))
}

// busy tells whether somebody has the lock of web.
func busy(t *testing.T, r Root) bool {
	t.Helper()
	now, cancel := context.WithCancel(t.Context())
	cancel()
	f, err := r.Lock(now, "web")
	if errors.Is(err, ErrBusy) {
		return true
	}
	must(t, err)
	must(t, f.dir.Close())
	return false
}

// left is all that lies below the root.
func left(t *testing.T, r Root) string {
	t.Helper()
	var found []string
	err := filepath.WalkDir(r.path, func(path string, _ fs.DirEntry, err error) error {
		found = append(found, strings.TrimPrefix(path, r.path))
		return err
	})
	must(t, err)
	return strings.Join(found, " ")
}
