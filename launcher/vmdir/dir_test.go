package vmdir

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"
)

type record struct {
	Number int
	Fill   string
}

// A reader sees the old record or the new one, whole, however often it is
// replaced meanwhile; no other file is left.
func TestWritesAreAtomic(t *testing.T) {
	dir := newRoot(t, "web").Dir("web")
	fill := strings.Repeat("x", 64<<10)
	if err := dir.Write(StateFile, record{0, fill}); err != nil {
		t.Fatal(err)
	}
	stop := make(chan struct{})
	var readers sync.WaitGroup
	for range 4 {
		readers.Go(func() {
			last := 0
			for {
				select {
				case <-stop:
					return
				default:
				}
				var r record
				if err := dir.Read(StateFile, &r); err != nil || len(r.Fill) != len(fill) || r.Number < last {
					t.Errorf("read number %d after %d, %d bytes: %v", r.Number, last, len(r.Fill), err)
					return
				}
				last = r.Number
			}
		})
	}
	for i := range 40 {
		if err := dir.Write(StateFile, record{i + 1, fill}); err != nil {
			t.Fatal(err)
		}
	}
	close(stop)
	readers.Wait()
	entries, err := os.ReadDir(dir.Path)
	if err != nil || len(entries) != 1 {
		t.Errorf("left in the folder: %v, %v", entries, err)
	}
	if info, err := os.Stat(dir.File(StateFile)); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("mode %v, %v; want 0600", info.Mode(), err)
	}
}

func TestReadingWhatIsNoRecord(t *testing.T) {
	dir := newRoot(t, "web").Dir("web")
	var r record
	if err := dir.Read(StateFile, &r); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("a missing file: %v, want fs.ErrNotExist", err)
	}
	for _, text := range []string{"", `{"Number": 1`, "\x00\xff", `[1]`, `{"Number": "one"}`, "{} {}", strings.Repeat("[", 100000)} {
		if err := os.WriteFile(dir.File(StateFile), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := dir.Read(StateFile, &r); err == nil || !strings.Contains(err.Error(), dir.File(StateFile)) {
			t.Errorf("%.20q: %v, want an error that names the file", text, err)
		}
	}
}

func TestStopAsked(t *testing.T) {
	dir := newRoot(t, "web").Dir("web")
	if _, asked := dir.StopAsked(); asked {
		t.Error("asked before anybody did")
	}
	for _, reason := range []string{"", "it was too slow\nby far"} {
		if err := dir.AskStop(reason); err != nil {
			t.Fatal(err)
		}
		if got, asked := dir.StopAsked(); !asked || got != reason {
			t.Errorf("%q, %v; want %q", got, asked, reason)
		}
	}
}

func TestRemove(t *testing.T) {
	root := newRoot(t, "web")
	dir := root.Dir("web")
	if err := os.MkdirAll(dir.File("a/b"), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := dir.Write(SpecFile, record{}); err != nil {
		t.Fatal(err)
	}
	for range 2 { // the second time it is gone already
		if err := dir.Remove(); err != nil || dir.Exists() {
			t.Errorf("%v, exists: %v", err, dir.Exists())
		}
	}
	if left, err := os.ReadDir(root.vms()); err != nil || len(left) > 0 {
		t.Errorf("left: %v, %v", left, err)
	}
}

// What is held is written to and read, or lost, whoever has the name by now.
func TestHold(t *testing.T) {
	root := newRoot(t, "web")
	dir := root.Dir("web")
	held, release, err := dir.Hold()
	if err != nil {
		t.Fatal(err)
	}
	defer release()
	if err := held.AskStop("too slow"); err != nil {
		t.Fatal(err)
	}
	if reason, asked := dir.StopAsked(); !asked || reason != "too slow" {
		t.Errorf("%q, %v", reason, asked)
	}
	if err := errors.Join(dir.Remove(), os.Mkdir(dir.Path, 0o700)); err != nil {
		t.Fatal(err)
	}
	if err := held.AskStop(""); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("in a folder that is gone: %v", err)
	}
	if _, asked := dir.StopAsked(); asked {
		t.Error("the next VM is asked to stop")
	}
	if _, _, err := root.Dir("db").Hold(); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("a folder that is not there: %v", err)
	}
}

func TestNamesAreFoldersInOrder(t *testing.T) {
	root := newRoot(t, "web", "db", "web-2")
	if err := os.WriteFile(root.vms()+"/file", nil, 0o600); err != nil {
		t.Fatal(err)
	}
	names, err := root.Names()
	if got := strings.Join(names, " "); err != nil || got != "db web web-2" {
		t.Errorf("%q, %v", got, err)
	}
	nowhere, err := At(t.TempDir() + "/none")
	if err != nil {
		t.Fatal(err)
	}
	if names, err := nowhere.Names(); err != nil || len(names) != 0 {
		t.Errorf("without a run directory: %v, %v", names, err)
	}
}

// sun_path holds 108 bytes; a run directory may be longer (unix(7)).
func TestSocketsBelowALongPath(t *testing.T) {
	base := filepath.Join(t.TempDir(), strings.Repeat("long/", 60))
	root, err := Open(base)
	if err != nil {
		t.Fatal(err)
	}
	dir := root.Dir(strings.Repeat("n", 63))
	if err := os.Mkdir(dir.Path, 0o700); err != nil {
		t.Fatal(err)
	}
	socket, err := dir.Listen(MonitorSocket)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = socket.Close() }()
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
	defer cancel()
	conn, err := dir.Dial(ctx, MonitorSocket)
	if err != nil {
		t.Fatal(err)
	}
	_ = conn.Close()
	if _, err := dir.Dial(ctx, ConsoleSocket); !errors.Is(err, fs.ErrNotExist) || !strings.Contains(err.Error(), dir.File(ConsoleSocket)) {
		t.Errorf("a socket that is not there: %v", err)
	}
	if _, err := dir.Listen(MonitorSocket); err == nil {
		t.Error("a second socket takes the first one's place")
	}
}
