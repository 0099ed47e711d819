package agent

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"
)

// Pipes is what QEMU calls the two pipes together; it adds the endings itself (docs of
// QEMU: -chardev pipe).
const Pipes = "port"

// The files of a port's folder.
const (
	inFile   = Pipes + ".in"
	outFile  = Pipes + ".out"
	lockFile = "lock"
)

// Make makes a port's folder for a QEMU that runs as the given user, and opens it for
// that QEMU to reach the pipes by. The caller closes it.
//
// They are pipes and not a socket so that the port is always connected: an agent whose
// port nobody is connected to naps a tenth of a second at a time (QEMU's qga/main.c).
// QEMU has both ends of each open, so that none ends with whoever speaks by it.
func Make(folder string, uid, gid uint32) (*os.File, error) {
	if err := os.Mkdir(folder, 0o711); err != nil {
		return nil, err
	}
	if err := os.Chmod(folder, 0o711); err != nil { // whatever the umask is
		return nil, err
	}
	for _, name := range []string{inFile, outFile} {
		pipe := filepath.Join(folder, name)
		if err := unix.Mkfifo(pipe, 0o600); err != nil {
			return nil, &os.PathError{Op: "mkfifo", Path: pipe, Err: err}
		}
		if err := os.Lchown(pipe, int(uid), int(gid)); err != nil {
			return nil, err
		}
	}
	return os.Open(folder)
}

// Open opens a port by its folder. It fails with fs.ErrNotExist if there is none, or the
// QEMU behind it has ended.
func Open(folder string) (*Port, error) {
	p := new(Port)
	for _, f := range []struct {
		name string
		mode int
		file **os.File
	}{
		{inFile, os.O_WRONLY | unix.O_NONBLOCK, &p.In},
		{outFile, os.O_RDONLY | unix.O_NONBLOCK, &p.Out},
		{lockFile, os.O_RDWR | os.O_CREATE, &p.Lock},
	} {
		file, err := os.OpenFile(filepath.Join(folder, f.name), f.mode|unix.O_NOFOLLOW, 0o600)
		if err != nil {
			p.Close()
			if errors.Is(err, unix.ENXIO) { // nobody has the pipe's other end
				err = fmt.Errorf("QEMU has ended: %w", fs.ErrNotExist)
			}
			return nil, err
		}
		*f.file = file
	}
	return p, nil
}
