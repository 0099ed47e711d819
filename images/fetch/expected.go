package fetch

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net/http"
)

// maxSums bounds a file of checksums, in bytes.
const maxSums = 4 << 20

// sumsBeside are the names that Auto tries.
var sumsBeside = []string{"SHA256SUMS", "SHA512SUMS"}

// expected finds out what digest the file must have.
func (g *getter) expected(ctx context.Context, s Source) (Digest, error) {
	switch {
	case s.Digest != "":
		return ParseDigest(string(s.Digest))
	case s.Sums == Auto:
		return g.besides(ctx)
	case s.Sums != "":
		at, err := parseLocation(s.Sums)
		if err != nil {
			return "", err
		}
		return g.fromSums(ctx, at)
	case g.source.remote():
		return "", &Error{Source: g.source.String(), Kind: ErrUnchecked, Detail: "nothing says what the file must be",
			Advice: "give its checksum by --checksum sha256:HEX, or a file of checksums by --checksums, or --checksums auto to look for SHA256SUMS beside it"}
	}
	return "", nil
}

// besides looks for a file of checksums in the folder of the file.
func (g *getter) besides(ctx context.Context) (Digest, error) {
	for _, name := range sumsBeside {
		d, err := g.fromSums(ctx, g.source.beside(name))
		// Some servers forbid what they do not have.
		if !errors.Is(err, ErrNotFound) && !errors.Is(err, ErrForbidden) {
			return d, err
		}
	}
	return "", &Error{Source: g.source.String(), Kind: ErrUnchecked, Detail: "there is neither SHA256SUMS nor SHA512SUMS beside it",
		Advice: "give its checksum by --checksum sha256:HEX, or a file of checksums by --checksums URL"}
}

// fromSums reads a file of checksums and takes the file's from it.
func (g *getter) fromSums(ctx context.Context, at location) (Digest, error) {
	if at.plain() && !g.options.SumsByHTTP {
		return "", &Error{Source: at.String(), Kind: ErrInsecure,
			Detail: "checksums that come by http can be replaced on their way, together with the file",
			Advice: "use https, give the checksum by --checksum sha256:HEX, or say --checksums-by-http"}
	}
	text, err := g.readSums(ctx, at)
	if err != nil {
		return "", about(at, err)
	}
	d, bad := find(parseSums(text), g.source)
	if bad != nil {
		return "", about(at, bad)
	}
	return d, nil
}

// readSums gets the whole of a small file.
func (g *getter) readSums(ctx context.Context, at location) ([]byte, error) {
	if !at.remote() {
		f, err := openLocal(at)
		if err != nil {
			return nil, err
		}
		defer func() { _ = f.Close() }()
		return readBounded(f)
	}
	client := newClient(g.options)
	var text []byte
	err := g.repeat(ctx, func() int64 { return 0 }, func() (err error) {
		text, err = g.askSums(ctx, client, at)
		return err
	})
	return text, err
}

// askSums is one try.
func (g *getter) askSums(outer context.Context, client *http.Client, at location) ([]byte, error) {
	ctx, idle, done := watchIdle(outer, g.options.Idle)
	defer done()
	request, err := newRequest(ctx, at)
	if err != nil {
		return nil, err
	}
	response, err := client.Do(request)
	if err != nil {
		return nil, failed(outer, ctx, requestFailed(err, false))
	}
	defer func() { _ = response.Body.Close() }()
	if response.StatusCode != http.StatusOK {
		return nil, statusFailed(response)
	}
	text, err := readBounded(idle.reader(response.Body))
	var own *Error
	if err != nil && !errors.As(err, &own) {
		return nil, failed(outer, ctx, connectionBroke(err))
	}
	return text, err
}

func readBounded(r io.Reader) ([]byte, error) {
	var text bytes.Buffer
	n, err := text.ReadFrom(io.LimitReader(r, maxSums+1))
	if err == nil && n > maxSums {
		return nil, &Error{Kind: ErrSums, Detail: "it is larger than " + amount(maxSums) + ", too large for a file of checksums", Advice: "check its URL or path"}
	}
	return text.Bytes(), err
}
