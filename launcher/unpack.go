package launcher

import (
	"archive/tar"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"strings"
	"time"
)

// unpack makes what an archive has at its top, a file or a folder and all that is in it,
// be called dst. The archive is a guest's. What it says gets nowhere but below dst: an
// os.Root follows no link out of there, whoever has made the link. Setuid and the like
// are not kept, for the files become the caller's.
func unpack(r io.Reader, dst string, count func(int64), note func(string, ...any)) (err error) {
	u := &unpacking{archive: tar.NewReader(r), dst: dst, count: count, note: note}
	defer func() { err = errors.Join(err, u.finish()) }()
	for {
		h, err := u.archive.Next()
		switch {
		case errors.Is(err, io.EOF) && u.top == "":
			return errEmpty
		case errors.Is(err, io.EOF):
			return nil
		case err != nil:
			return fmt.Errorf("what the guest sends is no archive: %w", err)
		}
		if err := u.entry(h); err != nil {
			return err
		}
	}
}

var (
	errEmpty   = errors.New("the guest sends nothing")
	errOutside = errors.New("the guest sends a file that lies elsewhere")
)

type unpacking struct {
	archive *tar.Reader
	dst     string
	count   func(int64)
	note    func(string, ...any)

	top     string   // what the archive's top is called in it
	root    *os.Root // dst, if that is a folder
	folders []made   // whose modes and times are set when all is in them
}

// made is a folder that was unpacked.
type made struct {
	name string
	mode fs.FileMode
	time time.Time
}

// entry unpacks one entry.
func (u *unpacking) entry(h *tar.Header) error {
	for key := range h.PAXRecords {
		if strings.HasPrefix(key, "GNU.sparse.") { // few bytes make as many as one likes
			return errors.New("the guest sends a file with holes")
		}
	}
	name := path.Clean(strings.TrimPrefix(h.Name, "./"))
	if u.top == "" {
		return u.first(h, name)
	}
	below, ok := u.below(name)
	if !ok || below == "." {
		return fmt.Errorf("%w: %q", errOutside, h.Name)
	}
	return u.make(h, below)
}

// below is a name of the archive's as one below its top.
func (u *unpacking) below(name string) (string, bool) {
	below := name
	if u.top != "." {
		rest, ok := strings.CutPrefix(name, u.top+"/")
		if !ok {
			return "", false
		}
		below = rest
	}
	return below, filepath.IsLocal(below) && u.root != nil
}

// first unpacks the archive's top.
func (u *unpacking) first(h *tar.Header, name string) error {
	if !filepath.IsLocal(name) || name != path.Base(name) {
		return fmt.Errorf("%w: %q", errOutside, h.Name)
	}
	u.top = name
	switch h.Typeflag {
	case tar.TypeDir:
		if err := os.Mkdir(u.dst, 0o700); err != nil && !errors.Is(err, fs.ErrExist) {
			return err
		}
		root, err := os.OpenRoot(u.dst)
		if err != nil {
			return err
		}
		u.root = root
		u.folders = append(u.folders, made{".", mode(h), h.ModTime})
		return nil
	case tar.TypeReg:
		parent, err := os.OpenRoot(filepath.Dir(u.dst))
		if err != nil {
			return err
		}
		defer func() { _ = parent.Close() }()
		return u.file(parent, h, filepath.Base(u.dst))
	}
	return fmt.Errorf("%s is neither a file nor a folder", name)
}

// mode is what is kept of a file's.
func mode(h *tar.Header) fs.FileMode { return fs.FileMode(h.Mode) & fs.ModePerm }

// make unpacks something below the top.
func (u *unpacking) make(h *tar.Header, name string) error {
	switch h.Typeflag {
	case tar.TypeDir:
		if err := u.root.Mkdir(name, 0o700); err != nil && !errors.Is(err, fs.ErrExist) {
			return err
		}
		u.folders = append(u.folders, made{name, mode(h), h.ModTime})
		return nil
	case tar.TypeReg:
		return u.file(u.root, h, name)
	case tar.TypeSymlink:
		return u.replace(name, func() error { return u.root.Symlink(h.Linkname, name) })
	case tar.TypeLink:
		old, ok := u.below(path.Clean(strings.TrimPrefix(h.Linkname, "./")))
		if !ok {
			return fmt.Errorf("%w: %q", errOutside, h.Linkname)
		}
		return u.replace(name, func() error { return u.root.Link(old, name) })
	}
	u.note("%s is left out: it is neither a file nor a folder", h.Name)
	return nil
}

// replace makes something in the place of what may be there.
func (u *unpacking) replace(name string, do func() error) error {
	err := do()
	if errors.Is(err, fs.ErrExist) {
		if err = u.root.Remove(name); err == nil {
			err = do()
		}
	}
	return err
}

// file writes a file under another name, and gives it its own when it is whole: so it
// neither follows a link that is there, nor is half a file ever seen.
func (u *unpacking) file(root *os.Root, h *tar.Header, name string) (err error) {
	part := path.Join(path.Dir(name), ".kvmrun-part")
	if err := root.Remove(part); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	f, err := root.OpenFile(part, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			_ = root.Remove(part)
		}
	}()
	_, err = io.Copy(counting{f, u.count}, u.archive)
	if err == nil {
		err = f.Chmod(mode(h))
	}
	if err = errors.Join(err, f.Close()); err != nil {
		return err
	}
	if err := root.Chtimes(part, h.ModTime, h.ModTime); err != nil {
		return err
	}
	return root.Rename(part, name)
}

// finish gives the folders their modes and times, the innermost first.
func (u *unpacking) finish() error {
	if u.root == nil {
		return nil
	}
	defer func() { _ = u.root.Close() }()
	var errs []error
	for i := len(u.folders) - 1; i >= 0; i-- {
		f := u.folders[i]
		errs = append(errs, u.root.Chtimes(f.name, f.time, f.time), u.root.Chmod(f.name, f.mode))
	}
	return errors.Join(errs...)
}
