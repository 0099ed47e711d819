package store

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"strings"

	"golang.org/x/sys/unix"

	"kvmrun/images"
)

// copied is a source of which there is a private copy: one file of a chain.
type copied struct {
	name   string // in the work's folder
	file   *os.File
	format images.Format
	info   images.Info
}

// blockNode describes a file to QEMU in the words of its QMP interface
// (BlockdevOptions), so that nothing is left to be guessed or followed.
type blockNode struct {
	Driver   string     `json:"driver"`
	Filename string     `json:"filename,omitempty"`
	Locking  string     `json:"locking,omitempty"`
	File     *blockNode `json:"file,omitempty"`
	Backing  *blockNode `json:"backing"` // null: none, whatever the header says
	ReadOnly bool       `json:"read-only"`
}

// node is an image on top of those beneath it.
func node(layers []copied) *blockNode {
	if len(layers) == 0 {
		return nil
	}
	return &blockNode{
		Driver: string(layers[0].format), File: fileNode(layers[0].name),
		Backing: node(layers[1:]), ReadOnly: true,
	}
}

// fileNode is a file of the folder that qemu-img is given, or the given file.
func fileNode(name string) *blockNode {
	return &blockNode{Driver: "file", Filename: givenFile(name), Locking: "off", ReadOnly: true}
}

// pseudoName is a node as the name of an image, which QEMU takes in its place.
func pseudoName(n *blockNode) string {
	text, err := json.Marshal(n)
	if err != nil {
		panic(err) // strings and booleans
	}
	return "json:" + string(text)
}

// target is the file in the work's folder that becomes the blob.
const target = "target"

// convert makes one qcow2 file without a backing file of a chain, as the file
// called target in the work's folder. Zeros become holes.
func (s *Store) convert(ctx context.Context, w *work, layers []copied, progress func(done, total int64)) (*os.File, error) {
	to, err := w.create(target)
	if err != nil {
		return nil, err
	}
	if err := s.convertTo(ctx, w, layers, to, progress); err != nil {
		_ = to.Close()
		return nil, err
	}
	return to, nil
}

func (s *Store) convertTo(ctx context.Context, w *work, layers []copied, to *os.File, progress func(done, total int64)) error {
	user, err := s.user()
	if err != nil {
		return err
	}
	if user != 0 {
		files := []*os.File{to}
		for _, l := range layers {
			files = append(files, l.file)
		}
		if err := w.give(user, files...); err != nil {
			return err
		}
	}
	folder, err := w.reach()
	if err != nil {
		return err
	}
	defer func() { _ = folder.Close() }()
	run, from := qemuImg{program: s.options.QEMUImg, user: user, given: folder}, node(layers)
	if err := s.checkForeign(ctx, run, layers[0].format, from); err != nil {
		return err
	}
	total := layers[0].info.VirtualSize
	if total == 0 {
		total = layers[0].info.FileSize
	}
	run.args = []string{"convert", "-p", "-O", "qcow2", pseudoName(from), givenFile(target)}
	run.out = &percent{total: total, tell: progress}
	if run.room, err = left(to); err != nil {
		return err
	}
	words, err := run.run(ctx)
	if err != nil && words != "" {
		err = refused(words)
	}
	return err
}

// checkForeign makes sure, as far as QEMU can, that nothing of an image is missing
// which this program cannot examine: the drivers read zeros there.
func (s *Store) checkForeign(ctx context.Context, run qemuImg, format images.Format, image *blockNode) error {
	if format == images.QCOW2 || format == images.Raw {
		return nil
	}
	problem, err := s.check(ctx, run, image)
	if err == nil && problem != "" {
		err = refused(problem)
	}
	return err
}

// user is whom qemu-img runs as, 0 for this process's own user.
func (s *Store) user() (uint32, error) {
	if os.Geteuid() != 0 || s.options.User == nil {
		return 0, nil
	}
	return s.options.User()
}

// quoted are qemu-img's words in a message.
func quoted(words string) string { return fmt.Sprintf("%.300q", words) }

// refused makes an error of qemu-img's words. It says that the disk is full, and
// not that an image is bad, by the words alone. That a file is too large is what the
// limit says that is to leave room for others (limitedCommand).
func refused(words string) error {
	for _, errno := range []unix.Errno{unix.ENOSPC, unix.EDQUOT, unix.EFBIG} {
		if strings.Contains(strings.ToLower(words), strings.ToLower(errno.Error())) {
			if errno == unix.EFBIG {
				return errNoRoom
			}
			return fmt.Errorf("convert the image: %w", errno)
		}
	}
	return &images.Error{Kind: images.ErrUnsupported, Detail: "QEMU cannot read it: " + quoted(words),
		Advice: "see whether the file is whole, as by a checksum of where it comes from"}
}

// errNoRoom says that what is still free is to be left to others.
var errNoRoom = fmt.Errorf("convert the image: what is free is needed for what else lies there: %w", unix.ENOSPC)
