package images

import (
	"errors"
	"os"
	"path/filepath"
	"slices"

	"golang.org/x/sys/unix"
)

// maxDepth is how many layers a chain may have: more than anybody wants, and
// well below the 1,024 descriptors that a process may usually have.
const maxDepth = 200

// Options says how an image is to be opened.
type Options struct {
	// Format is the format that the caller knows the image to have; empty to
	// find out, as in Inspect.
	Format Format
	// ReadOnly opens the top layer for reading alone.
	ReadOnly bool
	// AllowBacking follows the names of backing files wherever they lead.
	// Without it they must lie in the image's own folder or below.
	AllowBacking bool
	// Base is the file that lies beneath the image, if that has a backing file at all:
	// it must have the last element of the name that stands in the header, and lies
	// where it may. It is for overlays whose base is known from elsewhere. Empty: the
	// header's name is followed.
	Base string
	// Foreign also opens, if ReadOnly is set, an image that has to be converted
	// (see Convertible). It has a VirtualSize of 0 then, and is the whole chain.
	Foreign bool
}

// Layer is one open file of a chain.
type Layer struct {
	// Path is where the file was found: for a backing file the name in the
	// header above it, joined to that image's folder.
	Path     string
	Format   Format
	ReadOnly bool
	Info     Info
	// File is the open descriptor, owned by the Chain. Nothing was opened
	// through its path but this.
	File *os.File

	node ID
}

// ID is the layer's identity: two layers are the same file exactly if their
// IDs are equal.
func (l *Layer) ID() ID { return l.node }

// Chain is an image and the backing files beneath it, all open. Close it when
// QEMU has its own copies of the descriptors: locks that QEMU takes belong to
// the open files and would last as long as these are open.
type Chain struct {
	// Layers has the image itself first, then what lies beneath it.
	Layers []Layer
}

// Open opens the image at path, read-write unless told otherwise, and its
// backing files read-only. Each file is examined as in Inspect through the
// descriptor that is returned. Failures are of type *Error; those with a
// backing file are of kind ErrBacking and of the kind of their cause.
func Open(path string, o Options) (*Chain, error) {
	c := &Chain{}
	top, err := locate(path)
	if err != nil {
		return nil, err
	}
	folder, err := c.openTop(top, o)
	if err != nil {
		_ = c.Close()
		return nil, err
	}
	if o.AllowBacking {
		folder = ""
	}
	for c.bottom().Info.BackingFile != "" {
		if err := c.openBeneath(folder, o.Base); err != nil {
			_ = c.Close()
			return nil, err
		}
	}
	return c, nil
}

// Top is the layer that the guest writes to.
func (c *Chain) Top() *Layer { return &c.Layers[0] }

func (c *Chain) bottom() *Layer { return &c.Layers[len(c.Layers)-1] }

// ID is the identity of the top layer, by which to find out who else uses it.
func (c *Chain) ID() ID { return c.Top().ID() }

// VirtualSize is the size of the disk that the guest sees, in bytes.
func (c *Chain) VirtualSize() int64 { return c.Top().Info.VirtualSize }

// Cover puts an unnamed overlay on top, made in the folder by NewOverlay: what
// the guest writes from now on goes there and vanishes with the last
// descriptor. The disk keeps its size if virtualSize, in bytes, is 0. The chain
// must have been opened read-only, for QEMU lets nobody rely on a layer that
// is open for writing.
func (c *Chain) Cover(folder string, virtualSize int64) error {
	if top := c.Top(); !top.ReadOnly {
		return &Error{Path: top.Path, Kind: ErrBacking, Detail: "it is open for writing and cannot lie beneath an overlay"}
	}
	if virtualSize == 0 {
		virtualSize = c.VirtualSize()
	}
	f, err := NewOverlay(folder, virtualSize)
	if err != nil {
		return err
	}
	overlay := Layer{Path: f.Name(), Format: QCOW2, File: f}
	var stat unix.Stat_t
	if err := unix.Fstat(int(f.Fd()), &stat); err != nil {
		return errors.Join(createFailed(folder, err), f.Close())
	}
	overlay.node = (&node{stat: stat}).id()
	if overlay.Info, err = examine(f.Name(), f, stat.Size, false, QCOW2); err != nil {
		return errors.Join(err, f.Close())
	}
	c.Layers = slices.Insert(c.Layers, 0, overlay)
	return nil
}

// Close closes all files. QEMU's copies of the descriptors are not affected.
func (c *Chain) Close() error {
	var errs []error
	for _, l := range c.Layers {
		errs = append(errs, l.File.Close())
	}
	c.Layers = nil
	return errors.Join(errs...)
}

// openTop opens the image itself and returns the folder that it really lies in.
func (c *Chain) openTop(n *node, o Options) (string, error) {
	defer n.close()
	look := examine
	if o.Foreign && o.ReadOnly {
		look = examineAny
	}
	if err := c.add(n, o.Format, !o.ReadOnly, look); err != nil {
		return "", err
	}
	return n.folder()
}

// openBeneath opens the layer beneath the lowest one: the given base beneath the image
// itself, or else what the header names.
func (c *Chain) openBeneath(folder, base string) error {
	if base == "" || len(c.Layers) > 1 {
		return c.openNext(folder)
	}
	return c.openBase(base)
}

// openBase opens the file that is known to lie beneath the image. Its folder may have
// been moved since the header was written, and so the last element of the name decides.
func (c *Chain) openBase(base string) error {
	top := c.Top()
	fail := func(advice, detail string, cause error) error {
		return &Error{Path: top.Path, Kind: ErrBacking, Advice: advice, Detail: detail, Err: cause}
	}
	if filepath.Base(top.Info.BackingFile) != filepath.Base(base) || top.Info.BackingFormat != QCOW2 {
		return fail("have it name that one again by: qemu-img rebase -u",
			"it was made on "+quote(base)+", and names "+quote(top.Info.BackingFile)+" by now", nil)
	}
	n, err := locate(base)
	if err != nil {
		return fail("", "what lies beneath it cannot be used", err)
	}
	defer n.close()
	if n.id() == top.ID() {
		return fail("", "it is said to lie beneath itself", nil)
	}
	if err := c.add(n, QCOW2, false, examine); err != nil {
		return fail("", "what lies beneath it cannot be used", err)
	}
	if below := c.bottom().Info.BackingFile; below != "" {
		return fail("", "what lies beneath it has a backing file, "+quote(below), nil)
	}
	return nil
}

// openNext opens the backing file of the lowest layer so far. It must lie in
// the folder, unless that is empty.
func (c *Chain) openNext(folder string) error {
	above := c.bottom()
	name := above.Info.BackingFile
	fail := func(advice, detail string, cause error) error {
		return &Error{Path: above.Path, Kind: ErrBacking, Advice: advice, Err: cause,
			Detail: "its backing file " + quote(name) + " " + detail}
	}
	if len(c.Layers) >= maxDepth {
		return fail("shorten the chain with: qemu-img convert -O qcow2", "would be one layer too many of 200", nil)
	}
	if why := notPlain(name); why != "" {
		return fail("give it a plain name with: qemu-img rebase -u -b NAME -F FORMAT", why, nil)
	}
	format, ok := backingFormat(above.Info.BackingFormat)
	if !ok {
		return fail("convert it with qemu-img convert -O qcow2, and name the result with qemu-img rebase",
			"cannot be used", &Error{Path: name, Kind: ErrUnsupported,
				Detail: "the header states its format as " + quote(string(above.Info.BackingFormat))})
	}
	path := name
	if !filepath.IsAbs(name) {
		// As QEMU does it: beside the name under which the image above was
		// opened, even if that is a symbolic link to another folder. Another
		// base than QEMU's own tools take would spoil the data unnoticed.
		beside, _ := filepath.Split(above.Path)
		path = beside + name
	}
	n, err := locate(path)
	if err != nil {
		return fail("", "cannot be used", err)
	}
	defer n.close()
	if err := c.admit(n, folder); err != nil {
		return fail("", "is refused", err)
	}
	err = c.add(n, format, false, examine)
	if errors.Is(err, ErrFormat) && above.Info.BackingFormat == "" {
		return fail("state the format with: qemu-img rebase -u -F FORMAT -b NAME",
			"is of a format that the header does not state", err)
	}
	if err != nil {
		return fail("", "cannot be used", err)
	}
	return nil
}

// add opens what was located and appends it as the lowest layer.
func (c *Chain) add(n *node, asked Format, write bool, look examiner) error {
	f, err := n.open(write)
	if err != nil {
		return err
	}
	info, err := n.inspect(f, asked, look)
	if err != nil {
		_ = f.Close()
		return err
	}
	c.Layers = append(c.Layers, Layer{Path: n.path, Format: info.Format, ReadOnly: !write, Info: info, File: f, node: n.id()})
	return nil
}
