package launcher

import (
	"archive/tar"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// pipeSize is what a pipe for files holds, in bytes, if the kernel allows it.
const pipeSize = 1 << 20

// widen lets a pipe hold more than 64 KiB. It only is slower if that cannot be.
func widen(pipe *os.File) {
	if raw, err := pipe.SyscallConn(); err == nil {
		_ = raw.Control(func(fd uintptr) { _, _ = unix.FcntlInt(fd, unix.F_SETPIPE_SZ, pipeSize) })
	}
}

// pack writes a file, or a folder and all that is in it, as a tar archive in which it has
// the name base. count is told of the bytes of files that were written.
func pack(w io.Writer, path, base string, count func(int64)) error {
	archive := tar.NewWriter(w)
	err := filepath.WalkDir(path, func(file string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		rel, err := filepath.Rel(path, file)
		if err != nil {
			return err
		}
		return packOne(archive, file, filepath.ToSlash(filepath.Join(base, rel)), entry, count)
	})
	if err != nil {
		return err // and no end of the archive: what is there is not all
	}
	return archive.Close()
}

// packOne writes one file. Sockets, pipes and devices are nothing to copy.
func packOne(archive *tar.Writer, file, name string, entry fs.DirEntry, count func(int64)) error {
	info, err := entry.Info()
	if err != nil {
		return err
	}
	target := ""
	switch info.Mode().Type() {
	case 0:
		return packFile(archive, file, name, count)
	case fs.ModeDir:
		name += "/"
	case fs.ModeSymlink:
		if target, err = os.Readlink(file); err != nil {
			return err
		}
	default:
		return fmt.Errorf("%s is neither a file nor a folder", file)
	}
	header, err := header(info, name, target)
	if err != nil {
		return err
	}
	return archive.WriteHeader(header)
}

func packFile(archive *tar.Writer, file, name string, count func(int64)) error {
	f, err := os.OpenFile(file, os.O_RDONLY|unix.O_NOFOLLOW|unix.O_NONBLOCK, 0)
	if err != nil {
		return err
	}
	defer func() { _ = f.Close() }()
	info, err := f.Stat()
	if err != nil {
		return err
	}
	header, err := header(info, name, "")
	if err != nil {
		return err
	}
	if err := archive.WriteHeader(header); err != nil {
		return err
	}
	n, err := io.Copy(counting{archive, count}, io.LimitReader(f, info.Size()))
	if err == nil && n < info.Size() {
		err = fmt.Errorf("%s became shorter while it was copied", file)
	}
	return err
}

// header is a file's in an archive. Whose it is is nobody's business in another machine.
func header(info fs.FileInfo, name, target string) (*tar.Header, error) {
	h, err := tar.FileInfoHeader(info, target)
	if err != nil {
		return nil, err
	}
	h.Name = name
	h.Uid, h.Gid, h.Uname, h.Gname = 0, 0, "", ""
	// GNU's form has room for long names. Its further times lie where others, busybox's tar
	// among them, look for the name's beginning.
	h.Format, h.AccessTime, h.ChangeTime = tar.FormatGNU, time.Time{}, time.Time{}
	return h, nil
}

// counting is a writer that tells how much is written.
type counting struct {
	io.Writer
	count func(int64)
}

func (c counting) Write(p []byte) (int, error) {
	n, err := c.Writer.Write(p)
	c.count(int64(n))
	return n, err
}

// sizeOf is the size of all files in a folder, in bytes, as far as they can be looked at.
func sizeOf(path string) (all int64) {
	_ = filepath.WalkDir(path, func(_ string, entry fs.DirEntry, err error) error {
		if err != nil {
			return nil
		}
		if info, err := entry.Info(); err == nil && info.Mode().IsRegular() {
			all += info.Size()
		}
		return nil
	})
	return all
}

func isBrokenPipe(err error) bool { return errors.Is(err, syscall.EPIPE) }
