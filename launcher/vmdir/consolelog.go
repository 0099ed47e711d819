package vmdir

import (
	"errors"
	"fmt"
	"io"
	"os"

	"golang.org/x/sys/unix"
)

// A guest may write to its console without end, and the run directory is in
// memory as a rule. What is older than the last MaxConsole bytes is given back
// to the file system by making a hole of it, which moves nothing for readers
// and for QEMU, who appends.

// MaxConsole is how much of a console's log is kept, in bytes. More than that
// may be there for a short while.
const MaxConsole = 64 << 20

// TrimConsole gives back what is too old of the console's log.
func (d Dir) TrimConsole() error {
	f, err := os.OpenFile(d.File(ConsoleLog), os.O_RDWR, 0)
	if err != nil {
		return err
	}
	defer func() { _ = f.Close() }()
	info, err := f.Stat()
	if err != nil || info.Size() <= MaxConsole {
		return err
	}
	const mode = unix.FALLOC_FL_PUNCH_HOLE | unix.FALLOC_FL_KEEP_SIZE
	if err := unix.Fallocate(int(f.Fd()), mode, 0, info.Size()-MaxConsole); err != nil {
		return fmt.Errorf("trim %s: %w", f.Name(), err)
	}
	return nil
}

// SkipHole moves a file's offset from its beginning to its first byte that is
// still there.
func SkipHole(f *os.File) error {
	_, err := f.Seek(0, unix.SEEK_DATA)
	switch {
	case err == nil:
		return nil
	case errors.Is(err, unix.ENXIO): // nothing but a hole, or nothing at all
		_, err = f.Seek(0, io.SeekEnd)
	case errors.Is(err, unix.EINVAL): // a file system without holes
		_, err = f.Seek(0, io.SeekStart)
	}
	return err
}
