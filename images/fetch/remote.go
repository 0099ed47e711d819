package fetch

import (
	"bytes"
	"context"
	"errors"
	"io"
	"math/rand/v2"
	"os"
	"time"
)

// download gets the file from a server.
func (g *getter) download(ctx context.Context) (*File, error) {
	f, err := g.share(ctx)
	return f, about(g.source, err)
}

// share gets hold of the partial file and makes it whole, or waits for another
// process to do it. What was begun before, or by another, and turns out wrong
// is thrown away and the file downloaded from its start. If that is wrong, the
// server has something else.
func (g *getter) share(ctx context.Context) (*File, error) {
	key := partialKey(g.source, g.want)
	for {
		p, err := claim(ctx, g.dir, key, func(done, total int64) { g.options.Progress(Waiting, done, total) })
		if err != nil {
			return nil, err
		}
		f, err := g.finish(ctx, p)
		if f == nil || f.kept == nil {
			p.close()
		}
		if !p.found || !errors.Is(err, ErrChecksum) {
			return f, err
		}
	}
}

// finish makes a partial file whole, checks it and makes of it what was asked
// for. What is wrong goes, and so does what fills the disk, or is empty.
func (g *getter) finish(ctx context.Context, p *partial) (*File, error) {
	err := g.complete(ctx, p)
	var sums *tally
	if err == nil {
		sums, err = g.check(ctx, p)
	}
	if err != nil {
		if !p.unlinked && (p.size == 0 || lost(err)) {
			p.remove()
		}
		return nil, err
	}
	f, err := p.reopen()
	if err != nil {
		return nil, writeFailed(g.dir, err)
	}
	p.unlock() // it is whole, and not written to any more
	result, err := g.result(ctx, f, sums)
	switch {
	case err == nil && g.options.Keep:
		result.kept = p
	case err == nil, lost(err):
		p.discard()
	}
	return result, err
}

// lost tells whether what has come so far is of no use any more.
func lost(err error) bool {
	for _, kind := range []error{ErrChecksum, ErrSize, ErrNoSpace, ErrArchive} {
		if errors.Is(err, kind) {
			return true
		}
	}
	return false
}

// complete has the server send what is missing, again and again if it must.
func (g *getter) complete(ctx context.Context, p *partial) error {
	if p.unlinked || p.record.Whole {
		return nil
	}
	if p.record.Total > 0 && p.size == p.record.Total {
		return nil // killed before it could write down that this was all
	}
	t := &transfer{getter: g, client: newClient(g.options), into: p, room: room{dir: g.dir}}
	return g.repeat(ctx, func() int64 { return p.size }, func() error { return t.once(ctx) })
}

// progressDue is how far a try must get for the tries to be counted anew. So
// their number is bounded by the file's size.
const progressDue = 1 << 20

// repeat calls try until it succeeds or fails for good.
func (g *getter) repeat(ctx context.Context, reached func() int64, try func() error) error {
	best := reached()
	for failures := 0; ; {
		err := try()
		var e *Error
		if err == nil || !errors.As(err, &e) || !e.passing {
			return err
		}
		if now := reached(); now >= best+progressDue {
			best, failures = now, 0
		}
		if failures++; failures > max(0, g.options.Tries) {
			return err
		}
		if err := g.pause(ctx, failures, e.after); err != nil {
			return err
		}
	}
}

// maxPause bounds the time between two tries.
const maxPause = 15 * time.Second

// pause waits after so many failures: twice as long each time, and not all
// clients of a server for the same time.
func (g *getter) pause(ctx context.Context, failures int, least time.Duration) error {
	d := min(g.options.Pause<<min(failures-1, 10), maxPause)
	d = max(d/2+rand.N(d/2+1), least)
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-timer.C:
		return nil
	}
}

// check holds all bytes of the file against the digest.
func (g *getter) check(ctx context.Context, p *partial) (*tally, error) {
	sums := newTally(g.want)
	step := meter{ctx: ctx, r: io.NewSectionReader(p.f, 0, p.size), total: p.size,
		progress: func(done, total int64) { g.options.Progress(Checking, done, total) }}
	if _, err := io.CopyBuffer(sums, &step, make([]byte, blockSize)); err != nil {
		if ctx.Err() != nil {
			return nil, ctx.Err()
		}
		return nil, &Error{Kind: ErrRead, Detail: "what was downloaded cannot be read back", Err: err,
			Advice: "look at the host's kernel log for errors of its disk"}
	}
	if got := sums.source(); got != g.want {
		return nil, wrongDigest(g.want, got, p.f)
	}
	return sums, nil
}

// wrongDigest explains what came instead, as far as that shows.
func wrongDigest(want, got Digest, f io.ReaderAt) *Error {
	e := &Error{Kind: ErrChecksum, Detail: "its checksum is " + string(got) + ", and it should be " + string(want),
		Advice: "check the URL and the checksum; the file may have been replaced by a newer one"}
	start := make([]byte, 512)
	n, _ := f.ReadAt(start, 0)
	start = bytes.ToLower(bytes.TrimSpace(start[:n]))
	if bytes.HasPrefix(start, []byte("<!doctype html")) || bytes.HasPrefix(start, []byte("<html")) {
		e.Detail, e.Advice = "it is a web page, and not the file with the checksum "+string(want), "check the URL: it should be that of the file itself"
	}
	return e
}

// result makes the File of bytes that have been checked. It owns f.
func (g *getter) result(ctx context.Context, f *os.File, sums *tally) (*File, error) {
	how, err := g.packing(f)
	if err != nil {
		_ = f.Close()
		return nil, &Error{Kind: ErrRead, Detail: "what was downloaded cannot be read back", Err: err}
	}
	if how.unpack == nil {
		return g.file(f, how, sums.source(), sums.result()), nil
	}
	defer func() { _ = f.Close() }()
	unpacked, digest, err := g.spool(ctx, f, how, Unpacking, nil)
	if err != nil {
		return nil, err
	}
	return g.file(unpacked, how, sums.source(), digest), nil
}
