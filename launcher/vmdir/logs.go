package vmdir

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"

	"golang.org/x/sys/unix"
)

// A guest may write to its console without end, and has ways to make others
// write: QEMU, a dnsmasq, the supervisor. The run directory is in memory as a
// rule. What is too old is given back to the file system by making a hole of
// it, which moves nothing for readers and for those who append.

// What is kept of the folder's growing files, in bytes. More than that may be
// there for a short while.
const (
	MaxConsole = 64 << 20 // of the console's log
	MaxEvents  = 4 << 20  // of the events
	MaxLog     = 1 << 20  // of each other log
)

var growing = []struct {
	name string
	most int64
}{
	{ConsoleLog, MaxConsole}, {EventsFile, MaxEvents},
	{QEMULog, MaxLog}, {SupervisorLog, MaxLog}, {DnsmasqLog, MaxLog}, {TPMLog, MaxLog}, {ShareLog, MaxLog},
}

// Trim gives back what is too old of all files that grow. It goes on when one
// fails and joins the errors.
func (d Dir) Trim() error {
	var errs []error
	for _, file := range growing {
		errs = append(errs, d.trim(file.name, file.most))
	}
	return errors.Join(errs...)
}

func (d Dir) trim(name string, most int64) error {
	f, err := os.OpenFile(d.File(name), os.O_RDWR, 0)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	defer func() { _ = f.Close() }()
	info, err := f.Stat()
	if err != nil {
		return err
	}
	// Whole pages: of one in part, the rest would become zeros.
	old := (info.Size() - most) &^ (pageSize - 1)
	if old <= 0 {
		return nil
	}
	const mode = unix.FALLOC_FL_PUNCH_HOLE | unix.FALLOC_FL_KEEP_SIZE
	if err := unix.Fallocate(int(f.Fd()), mode, 0, old); err != nil {
		return fmt.Errorf("trim %s: %w", f.Name(), err)
	}
	return nil
}

const pageSize = 4 << 10

// SkipHole moves a file's offset from its beginning to the first line that is
// still there.
func SkipHole(f *os.File) error {
	at, err := f.Seek(0, unix.SEEK_DATA)
	switch {
	case err == nil && at > 0:
		return skipLine(f, at)
	case err == nil:
		return nil
	case errors.Is(err, unix.ENXIO): // nothing but a hole, or nothing at all
		_, err = f.Seek(0, io.SeekEnd)
	case errors.Is(err, unix.EINVAL): // a file system without holes
		_, err = f.Seek(0, io.SeekStart)
	}
	return err
}

// longestLine is where skipLine gives up.
const longestLine = 64 << 10

// skipLine leaves out the rest of a line of which the beginning is gone.
func skipLine(f *os.File, at int64) error {
	piece := make([]byte, longestLine)
	n, err := f.ReadAt(piece, at)
	if err != nil && !errors.Is(err, io.EOF) {
		return err
	}
	_, err = f.Seek(at+int64(bytes.IndexByte(piece[:n], '\n')+1), io.SeekStart)
	return err
}
