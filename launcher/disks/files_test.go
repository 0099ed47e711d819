package disks

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

func write(t *testing.T, folder, name, text string) {
	t.Helper()
	must(t, os.WriteFile(filepath.Join(folder, name), []byte(text), 0o600))
}

// replace changes the record by hand.
func replace(t *testing.T, folder, from, to string) {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(folder, recordFile))
	must(t, err)
	write(t, folder, recordFile, strings.ReplaceAll(string(text), from, to))
}

// lockAsQEMU takes the locks on a file that a QEMU has which reads it.
func lockAsQEMU(t *testing.T, path string) *os.File {
	t.Helper()
	f, err := os.Open(path)
	must(t, err)
	t.Cleanup(func() { _ = f.Close() })
	for _, at := range []int64{100, 201, 203} {
		lock := unix.Flock_t{Type: unix.F_RDLCK, Start: at, Len: 1}
		must(t, unix.FcntlFlock(f.Fd(), unix.F_OFD_SETLK, &lock))
	}
	return f
}
