package launcher

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"kvmrun/images"
	"kvmrun/images/fetch"
	"kvmrun/images/store"
)

// ImageImport asks for an image to be made of a file or of what lies at a URL.
type ImageImport struct {
	// Request is what is asked of the store. Its Path may be a URL (http, https,
	// file) or a relative path; From, Fetched and Digest are not looked at.
	store.Request
	// Checksum is the digest of the file at Path as it lies there. It, or
	// Checksums, is needed for http and https.
	Checksum fetch.Digest
	// Checksums is the path or URL of a file of checksums, or fetch.Auto.
	Checksums string
	// ChecksumsByHTTP takes such a file from plain http.
	ChecksumsByHTTP bool
	// Fetching is told how far the fetching is, in bytes. It may be nil.
	Fetching func(step fetch.Step, done, total int64)
}

// ImportImage makes an image of a file, see store.Store.Import. A file that has to
// be downloaded, checked or unpacked is fetched first, unless the name has it.
func (l *Launcher) ImportImage(ctx context.Context, r ImageImport) (i store.Image, already bool, err error) {
	op := "import image " + printableName(r.Name)
	if err := r.check(); err != nil {
		return i, false, imageFailed(op, err)
	}
	r.From, r.Fetched, r.Digest = "", "", ""
	if r.remote() || r.Checksum != "" || r.Checksums != "" || fetch.Packed(r.Path, r.options()) {
		i, already, err = l.importFetched(ctx, &r)
	} else {
		i, already, err = l.imageStore().Import(ctx, r.Request)
	}
	return i, already, imageFailed(op, err)
}

// importFetched is ImportImage for what has to be fetched.
func (l *Launcher) importFetched(ctx context.Context, r *ImageImport) (i store.Image, already bool, err error) {
	if r.Checksum, err = fetch.Expected(ctx, r.source(), r.options()); err != nil {
		return i, false, err
	}
	if r.remote() { // a file of this host's is looked at: it may have become another
		if i, has := l.hasFetched(r); has {
			return i, true, nil
		}
	}
	f, err := l.fetch(ctx, r)
	if err != nil {
		return i, false, err
	}
	defer func() { _ = f.Close() }()
	i, already, err = l.imageStore().Import(ctx, r.Request)
	if !worthKeeping(ctx, err) {
		f.Discard()
	}
	return i, already, err
}

// worthKeeping tells whether an import failed so that the next one may succeed with
// the same download: it was interrupted, or another flag is needed.
func worthKeeping(ctx context.Context, err error) bool {
	return ctx.Err() != nil || errors.Is(err, images.ErrFormat) || errors.Is(err, store.ErrExists)
}

// check looks at what needs no file, and makes a path absolute.
func (r *ImageImport) check() error {
	if err := CheckImageName(r.Name); err != nil {
		return err
	}
	if r.Format != "" && !images.Convertible(r.Format) {
		return fail(KindUsage, "say qcow2, raw, vmdk, vdi, vhdx or vpc", "--format %.40q is not one that can be imported", r.Format)
	}
	if r.remote() {
		return nil
	}
	return absolute(&r.Path)
}

func (r *ImageImport) remote() bool { return fetch.IsURL(r.Path) }

func (r *ImageImport) source() fetch.Source {
	return fetch.Source{Location: r.Path, Digest: r.Checksum, Sums: r.Checksums}
}

// hasFetched returns the image of the name if it was made of what would be fetched.
func (l *Launcher) hasFetched(r *ImageImport) (store.Image, bool) {
	i, err := l.imageStore().Get(r.Name)
	return i, err == nil && !i.Missing && r.Checksum != "" && i.Source.Fetched == string(r.Checksum) &&
		(r.Format == "" || r.Format == i.Source.Format)
}

// options are those of fetching. The first bytes of a raw disk are a guest's, so
// a file of this host that is called raw is unpacked only if its name says so, too.
func (r *ImageImport) options() fetch.Options {
	return fetch.Options{
		AsNamed:    !r.remote() && (r.Format == images.Raw || isRaw(r.Path)),
		Keep:       true,
		SumsByHTTP: r.ChecksumsByHTTP,
		Progress:   r.Fetching,
	}
}

// isRaw tells whether a file's name calls it a raw disk, as images.Open has it.
func isRaw(name string) bool { return strings.HasSuffix(name, ".raw") }

// staleDownload is for how long an interrupted download is kept to be gone on with.
const staleDownload = 7 * 24 * time.Hour

// downloads is where what is fetched lies until it is imported.
func (l *Launcher) downloads() string { return filepath.Join(l.data, "images", "downloads") }

// fetch brings the file and has the request import that. The caller closes it
// afterwards.
func (l *Launcher) fetch(ctx context.Context, r *ImageImport) (*fetch.File, error) {
	dir := l.downloads()
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, err
	}
	_, _ = fetch.Sweep(dir, staleDownload, false) // prune tells what cannot be removed
	f, err := fetch.Get(ctx, dir, r.source(), r.options())
	if err != nil {
		return nil, err
	}
	if r.Format == "" && isRaw(f.Name) {
		r.Format = images.Raw
	}
	r.Path, r.From, r.Fetched = fmt.Sprintf("/proc/self/fd/%d", f.Fd()), f.Source, string(f.SourceDigest)
	r.Digest = store.Digest(f.Digest)
	return f, nil
}

// pruneDownloads removes, or lists, what interrupted downloads have left.
func (l *Launcher) pruneDownloads(dryRun bool) ([]store.Litter, error) {
	left, err := fetch.Sweep(l.downloads(), 0, dryRun)
	if errors.Is(err, syscall.ENOTDIR) {
		err = nil // nor is there a store, which says so
	}
	found := make([]store.Litter, 0, len(left))
	for _, f := range left {
		found = append(found, store.Litter{Path: f.Path, Size: f.Size, Removed: f.Removed})
	}
	return found, err
}

// fetchKinds sort what is wrong with a download, if it is not the download itself.
var fetchKinds = []struct {
	is   error
	kind Kind
}{
	{fetch.ErrLocation, KindUsage}, {fetch.ErrDigest, KindUsage}, {fetch.ErrUnchecked, KindUsage},
	{fetch.ErrNoSpace, KindStorage}, {fetch.ErrWrite, KindStorage},
	{fetch.ErrArchive, KindImage}, {fetch.ErrSize, KindImage},
}

func classifyFetch(err *fetch.Error) Kind {
	for _, k := range fetchKinds {
		if errors.Is(err, k.is) {
			return k.kind
		}
	}
	switch {
	case fetch.IsURL(err.Source):
		return KindFetch
	case errors.Is(err, fetch.ErrForbidden):
		return KindPermission
	case errors.Is(err, fetch.ErrNotFound), errors.Is(err, fetch.ErrRead):
		return KindImage
	}
	return KindFetch
}
