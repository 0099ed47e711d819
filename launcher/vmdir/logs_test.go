package vmdir

import (
	"bytes"
	"io"
	"os"
	"testing"

	"golang.org/x/sys/unix"
)

func TestTrim(t *testing.T) {
	d := Dir{Name: "vm", Path: t.TempDir()}
	log, err := os.OpenFile(d.File(ConsoleLog), os.O_CREATE|os.O_RDWR|os.O_APPEND, 0o600)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = log.Close() }()
	block := bytes.Repeat([]byte("a line of a talkative guest....\n"), 1<<15) // 1 MiB
	const blocks = MaxConsole>>20 + 8
	for range blocks {
		if _, err := log.Write(block); err != nil {
			t.Fatal(err)
		}
	}
	if err := d.Trim(); err != nil {
		t.Fatal(err)
	}
	var st unix.Stat_t
	if err := unix.Fstat(int(log.Fd()), &st); err != nil {
		t.Fatal(err)
	}
	if st.Size != blocks<<20 {
		t.Errorf("the log has %d bytes, want %d: what is appended would move", st.Size, blocks<<20)
	}
	if held := st.Blocks * 512; held > MaxConsole+1<<20 {
		t.Errorf("the log holds %d bytes, bound %d", held, MaxConsole)
	}
	if err := SkipHole(log); err != nil {
		t.Fatal(err)
	}
	kept, err := io.ReadAll(log)
	if err != nil {
		t.Fatal(err)
	}
	const line = 32 // the first may be a part of one, and is left out
	if len(kept) < MaxConsole-line || bytes.IndexByte(kept, 0) >= 0 || !bytes.HasSuffix(kept, block) {
		t.Errorf("%d bytes are left to read; want at least %d and no holes", len(kept), MaxConsole-line)
	}
}

func TestTrimLeavesShortLogs(t *testing.T) {
	d := Dir{Name: "vm", Path: t.TempDir()}
	if err := os.WriteFile(d.File(ConsoleLog), []byte("SeaBIOS\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := d.Trim(); err != nil {
		t.Fatal(err)
	}
	if text, err := os.ReadFile(d.File(ConsoleLog)); err != nil || string(text) != "SeaBIOS\n" {
		t.Errorf("%q, %v", text, err)
	}
}
