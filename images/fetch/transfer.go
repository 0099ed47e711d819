package fetch

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"strconv"
)

// transfer is one file's way from a server into a partial file.
type transfer struct {
	getter *getter
	client *http.Client
	into   *partial
	room   room
	// known says that the host has answered.
	known bool
}

// once asks the server one time, for all or for what is missing, and takes what
// comes. A nil error says that the file is whole.
func (t *transfer) once(outer context.Context) error {
	ctx, idle, done := watchIdle(outer, t.getter.options.Idle)
	defer done()
	request, err := newRequest(ctx, t.getter.source)
	if err != nil {
		return err
	}
	from := t.ask(request)
	response, err := t.client.Do(request)
	if err != nil {
		return failed(outer, ctx, requestFailed(err, t.known))
	}
	defer func() { _ = response.Body.Close() }()
	idle.answered()
	t.known = true
	whole, err := t.judge(response, from)
	if whole || err != nil {
		return err
	}
	return t.take(outer, ctx, idle.reader(response.Body))
}

// ask adds to a request what is already there, if the server gave something to
// name it by.
func (t *transfer) ask(r *http.Request) (from int64) {
	tag := t.into.record.tag()
	if t.into.size == 0 || tag == "" {
		return 0
	}
	r.Header.Set("Range", "bytes="+strconv.FormatInt(t.into.size, 10)+"-")
	r.Header.Set("If-Range", tag)
	return t.into.size
}

// judge looks at the header of an answer and prepares the file for its body. It
// says that the file is whole already where the server does.
func (t *transfer) judge(r *http.Response, from int64) (whole bool, err error) {
	switch {
	case r.StatusCode == http.StatusOK:
		return false, t.begin(r)
	case from == 0, r.StatusCode != http.StatusPartialContent && r.StatusCode != http.StatusRequestedRangeNotSatisfiable:
		return false, statusFailed(r)
	}
	s, ok := parseContentRange(r.Header.Get("Content-Range"))
	known := t.into.record.Total
	switch {
	case !ok, s.total >= 0 && known > 0 && s.total != known:
		return false, t.startOver()
	case r.StatusCode == http.StatusRequestedRangeNotSatisfiable && s.total == from:
		return true, t.written(t.into.end())
	case s.first != from, r.Header.Get("ETag") != t.into.record.ETag:
		return false, t.startOver()
	}
	return false, t.room.check(max(0, s.total-from))
}

// startOver drops what is there: the server has something else by now.
func (t *transfer) startOver() error {
	if err := t.into.begin(record{}); err != nil {
		return t.written(err)
	}
	return &Error{Kind: ErrServer, Detail: "the server does not go on with the file that it began to send", passing: true,
		Advice: "try again later"}
}

// begin prepares for a file from its start.
func (t *transfer) begin(r *http.Response) error {
	total := max(0, r.ContentLength)
	if limit := t.getter.options.MaxSize; limit > 0 && total > limit {
		return tooLarge(limit)
	}
	err := t.into.begin(record{URL: t.getter.source.String(), Total: total,
		ETag: r.Header.Get("ETag"), Modified: r.Header.Get("Last-Modified")})
	if err != nil {
		return t.written(err)
	}
	return t.room.check(total)
}

func tooLarge(limit int64) *Error {
	return &Error{Kind: ErrSize, Detail: "the server sends more than " + amount(limit), Advice: "check the URL"}
}

// blockSize is how much is read at once.
const blockSize = 256 << 10

// take writes a body to the file.
func (t *transfer) take(outer, inner context.Context, body io.Reader) error {
	block := make([]byte, blockSize)
	for {
		n, err := body.Read(block)
		if n > 0 {
			if err := t.put(block[:n]); err != nil {
				return err
			}
		}
		switch {
		case err == io.EOF:
			return t.ended()
		case err != nil:
			return failed(outer, inner, connectionBroke(err))
		}
	}
}

// put writes a block of a body, within the bounds.
func (t *transfer) put(block []byte) error {
	p, limit := t.into, t.getter.options.MaxSize
	if limit > 0 && p.size+int64(len(block)) > limit {
		return tooLarge(limit)
	}
	if _, err := p.Write(block); err != nil {
		return t.written(err)
	}
	t.getter.options.Progress(Downloading, p.size, p.record.Total)
	return t.room.took(len(block))
}

// ended looks whether a body that came to its end is all of the file.
func (t *transfer) ended() error {
	p := t.into
	if total := p.record.Total; total > 0 && p.size != total {
		return connectionBroke(fmt.Errorf("%d of %d bytes came", p.size, total))
	}
	return t.written(p.end())
}

// written explains a failure to write.
func (t *transfer) written(err error) error {
	if err == nil {
		return nil
	}
	return writeFailed(t.getter.dir, err)
}
