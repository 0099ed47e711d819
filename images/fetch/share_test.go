package fetch

import (
	"errors"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"testing"
	"time"
)

// waitsOrGets is what a process says that has found its place.
func waitsOrGets(r report) bool { return r.Step == Waiting || r.Step == Downloading }

// Several processes that want the same file download it once.
func TestSharedByProcesses(t *testing.T) {
	t.Parallel()
	content := noise(4 << 20)
	gate := make(chan struct{})
	server := serve(t, halfway(content, gate))
	dir := t.TempDir()
	o := order{Dir: dir, Source: Source{Location: server.URL, Digest: sha256Of(content)}}
	children := make([]*child, 8)
	for i := range children {
		children[i] = startChild(t, o)
	}
	for _, c := range children {
		c.until(t, waitsOrGets)
	}
	close(gate)
	for _, c := range children {
		if r := c.end(t); r.Digest != sha256Of(content) {
			t.Errorf("one ended with %+v", r)
		}
	}
	if n := len(server.asked()); n != 1 {
		t.Errorf("asked %d times", n)
	}
	wantEmpty(t, dir)
}

// When the one that downloads is killed, another goes on where it was.
func TestSharedWithOneThatIsKilled(t *testing.T) {
	t.Parallel()
	content := noise(4 << 20)
	server := serve(t, halfway(content, nil), whole(content))
	dir := t.TempDir()
	o := order{Dir: dir, Source: Source{Location: server.URL, Digest: sha256Of(content)}}
	first := startChild(t, o)
	first.until(t, func(r report) bool { return r.Done == int64(len(content)/2) })
	second := startChild(t, o)
	second.until(t, func(r report) bool {
		return r.Step == Waiting && r.Done == int64(len(content)/2) && r.Total == int64(len(content))
	})
	if err := first.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	if r := second.end(t); r.Digest != sha256Of(content) {
		t.Errorf("it ended with %+v", r)
	}
	if asked := server.asked(); len(asked) != 2 || asked[1].Header.Get("Range") == "" {
		t.Errorf("asked %d times, at last with %v", len(asked), asked[len(asked)-1].Header)
	}
	wantEmpty(t, dir)
}

// Who waits can give up.
func TestWaitingEnds(t *testing.T) {
	t.Parallel()
	content := noise(1 << 20)
	gate := make(chan struct{})
	server := serve(t, halfway(content, gate))
	dir := t.TempDir()
	o := order{Dir: dir, Source: Source{Location: server.URL, Digest: sha256Of(content)}}
	first := startChild(t, o)
	first.until(t, func(r report) bool { return r.Done > 0 })
	second := startChild(t, o)
	second.until(t, func(r report) bool { return r.Step == Waiting })
	if err := second.Process.Signal(os.Interrupt); err != nil {
		t.Fatal(err)
	}
	if r := second.end(t); r.Error != "context canceled" {
		t.Errorf("it ended with %+v", r)
	}
	close(gate)
	if r := first.end(t); r.Digest != sha256Of(content) {
		t.Errorf("the first ended with %+v", r)
	}
}

// Two that want different bytes from one address are not in each other's way.
func TestNotShared(t *testing.T) {
	t.Parallel()
	content := noise(1 << 20)
	server := serve(t, halfway(content, nil), whole(content))
	dir := t.TempDir()
	first := startChild(t, order{Dir: dir, Source: Source{Location: server.URL, Digest: sha256Of(content)}})
	first.until(t, func(r report) bool { return r.Done > 0 })
	mustFail(t, dir, Source{Location: server.URL, Digest: Digest("sha256:" + hexA)}, quick, ErrChecksum)
	wantFiles(t, dir, 2)
}

// The one that waits must not take what another has thrown away as wrong.
func TestSharedWithOneThatFails(t *testing.T) {
	t.Parallel()
	content := noise(1 << 20)
	gate := make(chan struct{})
	spoilt := append([]byte("spoilt"), content[6:]...)
	server := serve(t, halfway(spoilt, gate), whole(content))
	dir := t.TempDir()
	o := order{Dir: dir, Source: Source{Location: server.URL, Digest: sha256Of(content)}}
	first := startChild(t, o)
	first.until(t, func(r report) bool { return r.Done > 0 })
	second := startChild(t, o)
	second.until(t, func(r report) bool { return r.Step == Waiting })
	close(gate)
	if r := first.end(t); r.Error == "" {
		t.Errorf("the first ended with %+v", r)
	}
	if r := second.end(t); r.Digest != sha256Of(content) {
		t.Errorf("the second ended with %+v", r)
	}
	wantEmpty(t, dir)
}

// Of several that share a download all but one are killed, each at another of its
// reports. The one has the file at the end, and nothing is left.
func TestSharedWhileOthersAreKilled(t *testing.T) {
	t.Parallel()
	content := slices.Concat(noise(3<<20), make([]byte, 1<<20))
	packed := archive(t, "gzip -c", content)
	server := serve(t, whole(packed))
	const victims = 4
	for round := range 6 {
		dir := t.TempDir()
		o := order{Dir: dir, Source: Source{Location: server.URL, Digest: sha256Of(packed)}}
		var wait sync.WaitGroup
		for v := range victims {
			c := startChild(t, o)
			wait.Go(func() {
				var r report
				for n := 1 + round*victims + v; n > 0 && r.Digest == "" && r.Error == ""; n-- {
					if err := c.lines.Decode(&r); err != nil {
						t.Error(err)
						break
					}
				}
				_ = c.Process.Kill()
			})
		}
		if r := startChild(t, o).end(t); r.Digest != sha256Of(content) {
			t.Errorf("round %d: it ended with %+v", round, r)
		}
		wait.Wait()
		if _, _, err := get(t, dir, o.Source, quick); err != nil {
			t.Errorf("round %d, afterwards: %v", round, err)
		}
		if _, err := Sweep(dir, 0, false); err != nil {
			t.Error(err)
		}
		wantEmpty(t, dir)
	}
}

// While one unpacks, others may take the download, too.
func TestUnpackingHoldsUpNobody(t *testing.T) {
	t.Parallel()
	content := noise(1 << 20)
	packed := archive(t, "gzip -c", content)
	server := serve(t, whole(packed))
	dir := t.TempDir()
	s := Source{Location: server.URL, Digest: sha256Of(packed)}
	o := quick
	o.Progress = func(step Step, done, _ int64) {
		if step == Unpacking && done < blockSize+1 {
			if _, _, err := get(t, dir, s, quick); err != nil {
				t.Error(err)
			}
		}
	}
	mustGet(t, dir, s, o, content)
	if n := len(server.asked()); n != 1 {
		t.Errorf("asked %d times", n)
	}
}

// The file system is full: it is said, and nothing is left of it.
func TestNoSpace(t *testing.T) {
	t.Parallel()
	if os.Geteuid() != 0 {
		t.Skip("only root can mount a small file system")
	}
	content := noise(4 << 20)
	unknown := func(w http.ResponseWriter, _ *http.Request) {
		_ = http.NewResponseController(w).Flush()
		_, _ = w.Write(content)
	}
	local := writeFile(t, filepath.Join(t.TempDir(), "disk.img"), content)
	packed := tool(t, make([]byte, 1<<20), "gzip", "-c")
	packed = append(packed, tool(t, content, "gzip", "-c")...)
	archive := serve(t, whole(packed))
	for name, s := range map[string]Source{
		"known":    {Location: serve(t, whole(content)).URL, Digest: sha256Of(content)},
		"unknown":  {Location: serve(t, unknown).URL, Digest: sha256Of(content)},
		"local":    {Location: local},
		"unpacked": {Location: archive.URL, Digest: sha256Of(packed)},
	} {
		r := startChild(t, order{Dir: t.TempDir(), Source: s, Tiny: 2 << 20}).end(t)
		if !r.NoSpace || r.Left != 0 {
			t.Errorf("%s: %+v", name, r)
		}
	}
}

func TestSweep(t *testing.T) {
	t.Parallel()
	content := noise(300_000)
	dir := t.TempDir()
	server := serve(t, cut(content, 100_000))
	interrupt(t, dir, Source{Location: server.URL, Digest: sha256Of(content)}, 100_000)
	held := serve(t, halfway(content, nil))
	c := startChild(t, order{Dir: dir, Source: Source{Location: held.URL, Digest: sha256Of(content)}})
	c.until(t, func(r report) bool { return r.Done > 0 })
	key := "00112233445566778899aabbccddeeff"
	for _, name := range []string{"stranger", "stranger.partial", "nothex" + key + ".partial", key + ".partialx", "." + key + ".json12x",
		key + ".json", "." + key + ".json123", "nameless-123"} {
		writeFile(t, filepath.Join(dir, name), nil)
	}
	wantFiles(t, dir, 2+2+8)
	if removed, err := Sweep(dir, time.Hour, false); err != nil || len(removed) != 0 {
		t.Errorf("%v are old: %v", removed, err)
	}
	wantFiles(t, dir, 2+2+8)
	if left, err := Sweep(dir, 0, true); err != nil || len(left) != 1 || left[0].Removed {
		t.Errorf("%v are left: %v", left, err)
	}
	wantFiles(t, dir, 2+2+8)
	if removed, err := Sweep(dir, 0, false); err != nil || len(removed) != 1 || !removed[0].Removed || removed[0].Size < 100_000 {
		t.Errorf("%v were left: %v", removed, err)
	}
	wantFiles(t, dir, 2+5) // of the one at work, and the strangers
	if err := c.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = c.Wait()
	if removed, err := Sweep(dir, 0, false); err != nil || len(removed) != 1 {
		t.Errorf("%v were left by the killed: %v", removed, err)
	}
	wantFiles(t, dir, 5)
	if removed, err := Sweep(filepath.Join(dir, "none"), 0, false); err != nil || removed != nil {
		t.Errorf("%v %v", removed, err)
	}
}

func TestFolderThatCannotBeWritten(t *testing.T) {
	t.Parallel()
	content := noise(1000)
	server := serve(t, whole(content))
	dir := filepath.Join(t.TempDir(), "none")
	mustFail(t, dir, Source{Location: server.URL, Digest: sha256Of(content)}, quick, ErrWrite, dir)
	_, err := Get(t.Context(), dir, Source{Location: writeFile(t, t.TempDir()+"/a", content)}, quick)
	if !errors.Is(err, ErrWrite) {
		t.Error(err)
	}
}
