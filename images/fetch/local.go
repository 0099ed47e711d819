package fetch

import (
	"context"
	"os"

	"golang.org/x/sys/unix"
)

// read copies a local file, so that nobody can change it from here on, or
// unpacks it. It is read once: what is unpacked is what the digest is of.
func (g *getter) read(ctx context.Context) (*File, error) {
	f, err := openLocal(g.source)
	if err != nil {
		return nil, err
	}
	defer func() { _ = f.Close() }()
	how, err := g.packing(f)
	if err != nil {
		return nil, readFailed(g.source, err)
	}
	step := Reading
	if how.unpack != nil {
		step = Unpacking
	}
	sums := newTally(g.want)
	result, digest, err := g.spool(ctx, f, how, step, sums)
	if err != nil {
		return nil, about(g.source, err)
	}
	if got := sums.source(); g.want != "" && got != g.want {
		_ = result.Close()
		return nil, about(g.source, wrongDigest(g.want, got, f))
	}
	return g.file(result, how, sums.source(), digest), nil
}

// openLocal opens a plain file; a pipe or the like would be waited for.
func openLocal(at location) (*os.File, error) {
	// Opening a tape or a pipe has an effect of its own.
	if info, err := os.Stat(at.path); err == nil && !info.Mode().IsRegular() {
		return nil, notPlain(at)
	}
	f, err := os.OpenFile(at.path, os.O_RDONLY|unix.O_NONBLOCK, 0)
	if err != nil {
		return nil, readFailed(at, err)
	}
	info, err := f.Stat()
	if err != nil {
		_ = f.Close()
		return nil, readFailed(at, err)
	}
	if !info.Mode().IsRegular() {
		_ = f.Close()
		return nil, notPlain(at)
	}
	return f, nil
}

func notPlain(at location) *Error {
	return &Error{Source: at.String(), Kind: ErrRead, Detail: "it is not a plain file", Advice: "check the path"}
}
