package agent

import (
	"bytes"
	"errors"
	"io"
)

// delimiter stands before the answer to guest-sync-delimited, and nowhere in JSON.
const delimiter = 0xff

// Bounds of what is read, in bytes.
const (
	// MaxAnswer is the longest answer. The longest of an agent as it should be is what
	// a command has printed: 16 MiB on each of two streams, in base64
	// (QEMU's qga/commands.c, GUEST_EXEC_MAX_OUTPUT).
	MaxAnswer = 48 << 20
	// maxRest is how much may come before the answer to a synchronisation: the rest of
	// what somebody else had asked for.
	maxRest = 2 * MaxAnswer
	// chunk is how much is read at once: a pipe's capacity.
	chunk = 64 << 10
)

var (
	errTooLong = errors.New("the guest agent's answer is too long")
	errNoSync  = errors.New("the guest agent does not come to the point")
)

// reader cuts what the agent says into lines.
type reader struct {
	src  io.Reader
	buf  []byte // what was read and not yet returned
	seen int    // so much of it has no end of a line
}

// forget drops what was read: whoever reads next may be another.
func (r *reader) forget() { r.buf, r.seen = nil, 0 }

// line is the next line, without its end. It is valid until the next call.
func (r *reader) line() ([]byte, error) {
	for {
		if i := bytes.IndexByte(r.buf[r.seen:], '\n'); i >= 0 {
			line := r.buf[:r.seen+i]
			r.buf, r.seen = r.buf[r.seen+i+1:], 0
			return line, nil
		}
		if r.seen = len(r.buf); r.seen > MaxAnswer {
			return nil, errTooLong
		}
		if err := r.more(); err != nil {
			return nil, err
		}
	}
}

// afterDelimiter is the first line behind a delimiter, which begins it.
func (r *reader) afterDelimiter() ([]byte, error) {
	for skipped := 0; ; {
		if i := bytes.LastIndexByte(r.buf, delimiter); i >= 0 {
			r.buf, r.seen = r.buf[i+1:], 0
			return r.line()
		}
		if skipped += len(r.buf); skipped > maxRest {
			return nil, errNoSync
		}
		r.forget()
		if err := r.more(); err != nil {
			return nil, err
		}
	}
}

// more reads what has come.
func (r *reader) more() error {
	begun := len(r.buf)
	if cap(r.buf)-begun < chunk {
		grown := make([]byte, begun, max(2*begun, begun+chunk))
		copy(grown, r.buf)
		r.buf = grown
	}
	n, err := r.src.Read(r.buf[begun : begun+chunk])
	r.buf = r.buf[:begun+n]
	if n > 0 {
		return nil // an error that came with bytes will come again
	}
	if err == nil {
		err = io.ErrNoProgress
	}
	return err
}
