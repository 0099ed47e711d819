package fetch

import (
	"bufio"
	"cmp"
	"context"
	"errors"
	"io"
	"os"

	"golang.org/x/sys/unix"
)

// spool reads a file to its end and writes what is in it to a new one without
// a name, with holes, unpacked if how says so. It returns that, and its sha256.
// The bytes as they are read go to source too, if that is not nil.
func (g *getter) spool(ctx context.Context, from *os.File, how packing, step Step, source io.Writer) (*os.File, Digest, error) {
	total, err := size(from)
	if err != nil {
		return nil, "", readFailed(g.source, err)
	}
	var r io.Reader = from
	if source != nil {
		r = io.TeeReader(from, source)
	}
	in := &meter{ctx: ctx, r: r, total: total, progress: func(done, total int64) { g.options.Progress(step, done, total) }}
	f, err := nameless(g.dir)
	if err != nil {
		return nil, "", writeFailed(g.dir, err)
	}
	defer func() { _ = f.Close() }()
	out := &sparse{ctx: ctx, f: f, room: room{dir: g.dir}, limit: g.options.MaxUnpacked}
	sums := newTally("")
	if err := g.unpack(in, how, io.MultiWriter(out, sums)); err != nil {
		return nil, "", g.unpackFailed(ctx, in, how, err)
	}
	if err := out.end(); err != nil {
		return nil, "", writeFailed(g.dir, err)
	}
	result, err := reopen(f)
	if err != nil {
		return nil, "", writeFailed(g.dir, err)
	}
	return result, sums.result(), nil
}

// writeError marks what the writing side said.
type writeError struct{ error }

func (w writeError) Unwrap() error { return w.error }

// marking is a writer whose errors can be told from the reader's.
type marking struct{ w io.Writer }

func (m marking) Write(p []byte) (int, error) {
	n, err := m.w.Write(p)
	if err != nil {
		err = writeError{err}
	}
	return n, err
}

// unpack copies, by way of a decompressor if there is one.
func (g *getter) unpack(in io.Reader, how packing, out io.Writer) error {
	packed := bufio.NewReaderSize(in, blockSize)
	var r io.Reader = packed
	if how.unpack != nil {
		unpacked, done, err := how.unpack(packed)
		if err != nil {
			return err
		}
		defer done()
		r = unpacked
	}
	if _, err := io.CopyBuffer(marking{out}, struct{ io.Reader }{r}, make([]byte, blockSize)); err != nil {
		return err
	}
	if _, err := packed.ReadByte(); err != io.EOF {
		return cmp.Or(err, errTail)
	}
	return nil
}

var errTail = errors.New("something else follows it")

// unpackFailed finds out which side has failed: the reading one, the writing
// one, or the archive itself.
func (g *getter) unpackFailed(ctx context.Context, in *meter, how packing, err error) error {
	var write writeError
	var own *Error
	switch {
	case ctx.Err() != nil:
		return ctx.Err()
	case in.err != nil:
		return readFailed(g.source, in.err)
	case errors.As(err, &own):
		return own
	case errors.As(err, &write):
		return writeFailed(g.dir, write.error)
	}
	e := &Error{Kind: ErrArchive, Detail: "what it was packed by " + how.name + " into is damaged", Err: err, Advice: "get it anew from where it was made"}
	if errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, io.EOF) {
		e.Detail, e.Err = "it is packed by "+how.name+" and ends too early", nil
	}
	return e
}

// nameless makes a file without a name in the folder. A file system that has
// none (O_TMPFILE, open(2)) lends it a name for a moment.
func nameless(dir string) (*os.File, error) {
	fd, err := unix.Open(dir, unix.O_TMPFILE|unix.O_RDWR|unix.O_CLOEXEC, 0o600)
	if err == nil {
		return os.NewFile(uintptr(fd), dir), nil
	}
	if !errors.Is(err, unix.EOPNOTSUPP) && !errors.Is(err, unix.EISDIR) {
		return nil, &os.PathError{Op: "open", Path: dir, Err: err}
	}
	f, err := os.CreateTemp(dir, namelessPattern)
	if err != nil {
		return nil, err
	}
	return f, os.Remove(f.Name())
}

// namelessPattern is the name that is lent.
const namelessPattern = "nameless-*"
