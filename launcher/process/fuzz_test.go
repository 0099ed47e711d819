package process

import (
	"fmt"
	"strings"
	"testing"
)

// FuzzProc reads what /proc says of a process that calls itself anything: its
// name stands in stat as it is, and with its line ends escaped in status
// (proc_task_name in fs/proc/array.c). Whatever the text is, reading it does no
// harm.
func FuzzProc(f *testing.F) {
	for _, seed := range []string{
		"", "sh", "a) R 1 (b", ") S 1 7 7 0 -1 4194560 1 0 0 0 0 0 0 0 20 0 1 0 4711 1 1", "Uid:\t0\t0", "\x00\xff",
		"7 (sh) S 1 7 7 0 -1 4194560 1 0 0 0 0 0 0 0 20 0 1 0 4711 1 1", "7 (sh) S 1 7 7 0 -1 4194560 1 0 0 0 0 0 0 0 0 20 0 1 0 99999999999999999999 1 1",
		"rchar: 1\nwrite_bytes: 4096\n", "18 0x1 0x2", "running",
		"Name:\tsh\nUid:\t1000\t0\t0\t0\n", "Uid:\n", "Uid:\t-1\n",
	} {
		f.Add(seed, uint64(4711), uint32(1000))
	}
	f.Fuzz(func(t *testing.T, text string, start uint64, uid uint32) {
		_, _ = parseStat([]byte(text))
		_, _ = realUser(text)
		_, _ = writeBytes([]byte(text)), handlesFile([]byte(text))

		stat := fmt.Sprintf("7 (%s) S 1 7 7 0 -1 4194560 1 0 0 0 1 2 0 0 20 0 1 0 %d 1 1", text, start)
		if got, err := parseStat([]byte(stat)); err != nil || got.state != 'S' || got.start != start || got.cpu != 3*tick {
			t.Errorf("%q: %+v, %v", stat, got, err)
		}
		name := strings.ReplaceAll(text, "\n", `\n`)
		status := fmt.Sprintf("Name:\t%s\nUmask:\t0022\nUid:\t%d\t0\t0\t0\n", name, uid)
		if got, ok := realUser(status); !ok || got != uid {
			t.Errorf("%q: user %d, %v", status, got, ok)
		}
	})
}
