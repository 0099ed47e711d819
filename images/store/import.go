package store

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"
	"time"

	"kvmrun/images"
)

// Request asks for an image to be imported.
type Request struct {
	// Path is the file to read. It is not changed.
	Path string
	// From is what Path was fetched from, to be recorded and named in messages in its
	// place; empty for a file of the user's. Such an image has no backing file.
	From string
	// Fetched is to be recorded, too, see Source.
	Fetched string
	// Digest is what the file is known to have; empty if nothing is.
	Digest Digest
	Name   string
	// Format is the file's, or empty to find out, as by images.Open.
	Format images.Format
	// AllowBacking is as in images.Options.
	AllowBacking bool
	// Base is as in images.Options.
	Base string
	// Replace lets a name that has another content lead to this one.
	Replace bool
	// Progress is told what is done and how far it is, in bytes. It may be nil.
	Progress func(what Stage, done, total int64)
}

// Stage is a part of an import that takes a while.
type Stage string

// The stages.
const (
	Reading    Stage = "reading"
	Converting Stage = "converting"
	Hashing    Stage = "hashing"
)

func (r *Request) tell(what Stage) func(done, total int64) {
	return func(done, total int64) {
		if r.Progress != nil {
			r.Progress(what, done, total)
		}
	}
}

// Import makes an image of a file: qcow2, raw, or what images.Convertible names. A
// qcow2 file that is a disk by itself is taken byte for byte, everything else is
// converted. The name appears when all is done; if it fails, nothing is left. A
// name that has this content already is no error, which already tells.
func (s *Store) Import(ctx context.Context, r Request) (i Image, already bool, err error) {
	if err := checkName(r.Name); err != nil {
		return Image{}, false, err
	}
	i, already, err = s.attempt(ctx, r, true)
	if errors.Is(err, errGone) {
		i, already, err = s.attempt(ctx, r, false)
	}
	return i, already, err
}

// attempt is Import that takes, if reuse is set, what was made of the same file
// before. That may be removed until it would have another name: errGone.
func (s *Store) attempt(ctx context.Context, r Request, reuse bool) (i Image, already bool, err error) {
	chain, err := r.open()
	if err != nil {
		return Image{}, false, r.about(err)
	}
	defer func() { err = errors.Join(err, chain.Close()) }()
	if err := s.make(); err != nil {
		return Image{}, false, err
	}
	_ = s.abandoned(func(string) bool { return true }) // prune tells what cannot be removed
	w, err := s.newWork()
	if err != nil {
		return Image{}, false, err
	}
	defer func() { err = errors.Join(err, w.end()) }()
	fresh, file, err := s.produce(ctx, &r, w, chain, reuse)
	if err != nil {
		return Image{}, false, r.about(err)
	}
	return s.commit(ctx, w, fresh, file, r.Replace)
}

// open opens the source, and what lies beneath it.
func (r *Request) open() (*images.Chain, error) {
	chain, err := images.Open(r.Path, images.Options{
		Format: r.Format, ReadOnly: true, AllowBacking: r.AllowBacking && r.From == "", Base: r.Base, Foreign: true,
	})
	if err != nil {
		if r.From != "" && errors.Is(err, images.ErrBacking) {
			return nil, r.backed()
		}
		return nil, err
	}
	if len(chain.Layers) > 1 && r.From != "" {
		err = r.backed()
	} else {
		err = chain.CheckUnused()
	}
	if err != nil {
		return nil, errors.Join(err, chain.Close())
	}
	return chain, nil
}

// backed is why a fetched file is not imported that has a backing file.
func (r *Request) backed() error {
	return imageError(r.From, images.ErrBacking, nil, "fetch all files into one folder and import that",
		"it has a backing file, which would have to be fetched too")
}

// about has an error speak of what the user named.
func (r *Request) about(err error) error {
	var e *images.Error
	if errors.As(err, &e) && (e.Path == "" || r.From != "" && e.Path == r.Path) {
		e.Path = r.Path
		if r.From != "" {
			e.Path = r.From
			e.Advice = strings.ReplaceAll(e.Advice, r.Path, "FILE") // not the file that was fetched
		}
	}
	return err
}

// produce copies the source, and makes of it what is to be stored: the name of a
// file in the work's folder, and its record. There is no file if what was made of
// the source before is still there, and may be taken.
func (s *Store) produce(ctx context.Context, r *Request, w *work, chain *images.Chain, reuse bool) (fresh record, file string, err error) {
	layers, digest, err := s.copyChain(ctx, r, w, chain)
	defer func() {
		for _, l := range layers {
			_ = l.file.Close()
		}
	}()
	if err != nil {
		return record{}, "", err
	}
	if r.Digest != "" && digest != r.Digest {
		return record{}, "", imageError(r.Path, ErrChanged, nil, "fetch it again",
			fmt.Sprintf("its digest is %s, and was to be %s", digest, r.Digest))
	}
	top := layers[0]
	fresh = record{
		Version: recordVersion, Name: r.Name, Digest: digest, VirtualSize: top.info.VirtualSize,
		Source: Source{From: r.Path, Digest: digest, Format: top.format}, Imported: time.Now().UTC().Truncate(time.Second),
	}
	if r.From != "" {
		fresh.Source.From, fresh.Source.Fetched = r.From, r.Fetched
	}
	if digest != "" && asItIs(layers) {
		return fresh, top.name, seal(top.file)
	}
	if len(layers) > 1 {
		fresh.Source.Digest = ""
	} else if reuse && digest != "" && s.hasConverted(&fresh) {
		return fresh, "", nil
	}
	return fresh, target, s.remake(ctx, r, w, layers, &fresh)
}

// asItIs tells whether a file may be stored byte for byte.
func asItIs(layers []copied) bool {
	top := layers[0].info
	return len(layers) == 1 && top.Format == images.QCOW2 && top.Snapshots == 0 && !top.Dirty
}

// hasConverted completes a record if the same file was converted before and is
// still there.
func (s *Store) hasConverted(fresh *record) bool {
	names, _ := s.Names()
	for _, name := range names {
		was, err := s.read(name)
		if err != nil || was.Source.Digest != fresh.Source.Digest || was.Source.Format != fresh.Source.Format {
			continue
		}
		if s.has(was.Digest) {
			fresh.Digest, fresh.VirtualSize = was.Digest, was.VirtualSize
			return true
		}
	}
	return false
}

// remake converts the copy, looks at what has come of it, and completes the record.
func (s *Store) remake(ctx context.Context, r *Request, w *work, layers []copied, fresh *record) (err error) {
	to, err := s.convert(ctx, w, layers, r.tell(Converting))
	if err != nil {
		return err
	}
	defer func() { _ = to.Close() }()
	// It is root's from here on, and whom qemu-img ran as has no process any more.
	if err := seal(to); err != nil {
		return err
	}
	info, err := images.Inspect(w.file(target), images.QCOW2)
	if err == nil && (info.BackingFile != "" || info.Dirty) {
		err = imageError(r.Path, images.ErrCorrupt, nil, "tell where the file is from: it may have been made to attack qemu-img",
			"what qemu-img made of it is no disk by itself")
	}
	if err != nil {
		return aboutLayer(r.Path, err)
	}
	fresh.VirtualSize = info.VirtualSize
	fresh.Digest, err = hashFile(ctx, to, info.FileSize, r.tell(Hashing))
	return err
}

// seal makes a file what a blob is: nobody's to write to, and on the disk.
func seal(f *os.File) error {
	if os.Geteuid() == 0 {
		if err := f.Chown(0, 0); err != nil {
			return err
		}
	}
	return errors.Join(f.Chmod(blobMode), f.Sync())
}

// copyChain copies a chain's files, and examines the copies: what is looked at then
// is what is stored or converted, whatever becomes of the files meanwhile. The
// digest is the top one's.
func (s *Store) copyChain(ctx context.Context, r *Request, w *work, chain *images.Chain) (layers []copied, top Digest, err error) {
	for n := range chain.Layers {
		from := &chain.Layers[n]
		c := copied{name: "source" + strconv.Itoa(n), format: from.Format}
		if c.file, err = w.create(c.name); err != nil {
			return layers, "", err
		}
		layers = append(layers, c)
		// A digest that is known is held against the file's, however long that takes.
		digest, err := copyLayer(ctx, c.file, from.File, r.Digest == "", r.tell(Reading))
		if err != nil {
			return layers, "", aboutLayer(from.Path, err)
		}
		if n == 0 {
			top = digest
		}
		if layers[n].info, err = examine(w.file(c.name), from.Format); err != nil {
			return layers, "", aboutLayer(from.Path, err)
		}
		last := n == len(chain.Layers)-1
		if last != (layers[n].info.BackingFile == "") || layers[n].format != layers[n].info.Format {
			return layers, "", aboutLayer(from.Path, errWritten)
		}
	}
	return layers, top, chain.CheckUnused()
}

// errWritten says that a file is not what it was when it was opened.
var errWritten = fmt.Errorf("it was written to while it was read: %w", ErrChanged)

// aboutLayer has an error name the file that was copied, and not its copy.
func aboutLayer(path string, err error) error {
	var e *images.Error
	switch {
	case errors.As(err, &e):
		e.Path = path
	case errors.Is(err, ErrChanged):
		return imageError(path, ErrChanged, err, "stop whoever writes to it and import it again", "it cannot be copied")
	}
	return err
}

// copyLayer copies an open file, which must not change meanwhile.
func copyLayer(ctx context.Context, to, from *os.File, forgo bool, progress func(done, total int64)) (Digest, error) {
	size, err := from.Seek(0, io.SeekEnd) // a block device has no other size
	if err != nil {
		return "", err
	}
	before, err := from.Stat()
	if err != nil {
		return "", err
	}
	digest, err := copyFile(ctx, to, from, size, forgo, progress)
	if err != nil {
		return "", err
	}
	after, err := from.Stat()
	if err == nil && (!after.ModTime().Equal(before.ModTime()) || after.Size() != before.Size()) {
		err = errWritten
	}
	return digest, err
}

// examine looks at the copy of one file.
func examine(path string, format images.Format) (images.Info, error) {
	if format == images.QCOW2 || format == images.Raw {
		return images.Inspect(path, format)
	}
	c, err := images.Open(path, images.Options{Format: format, ReadOnly: true, Foreign: true})
	if err != nil {
		return images.Info{}, err
	}
	return c.Top().Info, c.Close()
}

// commit gives the image its name, and stores the file if there is one. A record
// without a file has the content of another name.
func (s *Store) commit(ctx context.Context, w *work, fresh record, file string, replace bool) (i Image, already bool, err error) {
	guard, err := s.lock(ctx)
	if err != nil {
		return Image{}, false, err
	}
	defer func() { _ = guard.Close() }()
	was, err := s.read(fresh.Name)
	switch {
	case err == nil && sameContent(was, fresh):
		if s.has(was.Digest) {
			return s.image(was, nil), true, nil
		}
	case err == nil && !replace:
		return Image{}, false, imageError(fresh.Name, ErrExists, nil, "choose another name, or say --replace",
			"the store has an image of this name with another content, from "+strconv.Quote(was.Source.From))
	case errors.Is(err, ErrNoImage), replace && errors.Is(err, ErrRecord):
	case err != nil:
		return Image{}, false, err
	}
	if err := s.place(w, fresh, file); err != nil {
		return Image{}, false, err
	}
	if was.Digest != "" {
		_ = s.release(was.Digest) // prune takes what could not go now
	}
	return s.image(fresh, nil), false, nil
}

// errGone says that a blob which was there is no more.
var errGone = errors.New("its content was removed from the store meanwhile")

// place puts the blob and then the name that leads to it.
func (s *Store) place(w *work, r record, file string) error {
	switch {
	case file == "" && !s.has(r.Digest):
		return errGone
	case file != "":
		if err := s.put(r.Digest, w.file(file)); err != nil {
			return err
		}
	}
	return s.write(r, w.path)
}

// sameContent tells whether both are the same disk, by their blob, or by what it was
// made from: another QEMU makes another file of the same.
func sameContent(a, b record) bool {
	return a.Digest == b.Digest ||
		a.Source.Digest != "" && a.Source.Digest == b.Source.Digest && a.Source.Format == b.Source.Format
}
