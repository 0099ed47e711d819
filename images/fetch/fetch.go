// Package fetch brings a file from a path or a URL into a folder, whole and
// checked, or not at all.
//
// What comes over the network is held against a digest that the caller gives
// or that stands in a file of checksums; without either nothing is fetched.
// Only https and an explicit digest authenticate: a file of checksums that came
// by http proves that nothing broke on the way, and nothing against somebody
// who sits in between. It is therefore refused unless the caller insists.
//
// A download that is interrupted, by whatever, leaves a partial file that the
// next one goes on with. Several processes that want the same file at the same
// time share one download. What is packed by xz, zstd, gzip or bzip2 is
// unpacked, after the digest has been checked.
package fetch

import (
	"context"
	"crypto/x509"
	"os"
	"time"
)

// Source says what to get and what to hold it against.
type Source struct {
	// Location is a path or a URL: http, https or file.
	Location string
	// Digest is that of the bytes at Location, before they are unpacked. It
	// may be empty if Sums is given, and for a local file.
	Digest Digest
	// Sums is the path or URL of a file of checksums that has an entry for the
	// last element of Location, or Auto. Digest comes before it.
	Sums string
}

// Auto as a Source's Sums looks for SHA256SUMS and then SHA512SUMS beside the
// file.
const Auto = "auto"

// Options are how to get it. Zero fields take the defaults.
type Options struct {
	// MaxSize bounds a download, in bytes; 0 is as much as there is room for.
	MaxSize int64
	// MaxUnpacked bounds what an archive is unpacked to, in bytes, holes
	// counted; 0 is 4 TiB. What is not a hole must have room on the disk.
	MaxUnpacked int64
	// AsIs leaves packed what is packed.
	AsIs bool
	// AsNamed unpacks only what has a name that says so, too: for a file that
	// should be a raw disk, whose first bytes a guest has written.
	AsNamed bool
	// Keep leaves a download in the folder, where the next Get of it finds it, until
	// File.Discard is called or Sweep comes by.
	Keep bool
	// SumsByHTTP takes a file of checksums that comes by plain http, which
	// whoever sits in between can replace together with the file.
	SumsByHTTP bool
	// Idle is for how long a server may stay silent, or send next to nothing;
	// 0 is a minute. After that the connection counts as broken.
	Idle time.Duration
	// Tries is how often a broken download is taken up again without having
	// got on in between; 0 is 6. A negative number is once.
	Tries int
	// Pause is the time before the first of them, doubled for each; 0 is half
	// a second.
	Pause time.Duration
	// Roots are the certificates that sign servers' ones; nil is the system's.
	Roots *x509.CertPool
	// Progress is told how far a step is, often, in the goroutine of the
	// caller. The total is 0 if it is not known. It may be nil.
	Progress func(step Step, done, total int64)
}

// Step is what is being done, as a word for people.
type Step string

// The steps of getting a file, in their order. A local file is read only.
const (
	Waiting     Step = "waiting for another download of"
	Downloading Step = "downloading"
	Checking    Step = "checking"
	Reading     Step = "reading"
	Unpacking   Step = "unpacking"
)

// File is a file that has come whole. It has no name in any folder, but for what
// Options.Keep keeps, and goes with its last descriptor. Nobody else writes to it.
// The caller closes it.
type File struct {
	// File is open for reading alone, at its start.
	*os.File
	// Name is the last element of the location, without the ending of what it
	// was packed by. It names the content's format to people and, for a raw
	// disk, to package images.
	Name string
	// Source is the location, without a password that was in it.
	Source string
	// SourceDigest is the digest of the bytes at the source, of the kind that
	// was asked for, otherwise sha256.
	SourceDigest Digest
	// Digest is the sha256 of the file as it is now.
	Digest Digest
	// Packing is what it was packed by, such as "xz"; empty if it was not.
	Packing string

	// kept is the download in the folder, not locked; nil where there is none. It is
	// open, so that no other file can be taken for it.
	kept *partial
}

// The defaults of Options.
const (
	defaultMaxUnpacked = 4 << 40
	defaultIdle        = time.Minute
	defaultTries       = 6
	defaultPause       = 500 * time.Millisecond
)

func (o Options) complete() Options {
	if o.MaxUnpacked <= 0 {
		o.MaxUnpacked = defaultMaxUnpacked
	}
	if o.Idle <= 0 {
		o.Idle = defaultIdle
	}
	if o.Tries == 0 {
		o.Tries = defaultTries
	}
	if o.Pause <= 0 {
		o.Pause = defaultPause
	}
	if o.Progress == nil {
		o.Progress = func(Step, int64, int64) {}
	}
	return o
}

// Get brings the file into the folder, which must exist and should be nobody
// else's: partial downloads lie there under names, and everything else
// without. When the context ends, what has come so far stays there for the
// next Get; Sweep removes what nobody comes back for. Failures are of type
// *Error, but for the context's end.
func Get(ctx context.Context, dir string, s Source, o Options) (*File, error) {
	g, err := newGetter(ctx, s, o)
	if err != nil {
		return nil, err
	}
	g.dir = dir
	if g.source.remote() {
		return g.download(ctx)
	}
	return g.read(ctx)
}

// Expected is the digest that Get would hold the file against; empty for a local
// file that may have any. It asks the network for a file of checksums alone. Its
// failures are Get's.
func Expected(ctx context.Context, s Source, o Options) (Digest, error) {
	g, err := newGetter(ctx, s, o)
	if err != nil {
		return "", err
	}
	return g.want, nil
}

func newGetter(ctx context.Context, s Source, o Options) (*getter, error) {
	at, err := parseLocation(s.Location)
	if err != nil {
		return nil, err
	}
	g := &getter{options: o.complete(), source: at}
	g.want, err = g.expected(ctx, s)
	return g, err
}

// getter is one call of Get.
type getter struct {
	dir     string
	options Options
	source  location
	// want is what the bytes must have; empty for a local file that may have
	// any.
	want Digest
}

// file completes a result that is open, and of which the digests are known.
func (g *getter) file(f *os.File, p packing, source, result Digest) *File {
	return &File{File: f, Name: p.trim(g.source.name()), Source: g.source.String(),
		SourceDigest: source, Digest: result, Packing: p.name}
}
