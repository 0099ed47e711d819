package qmp

import (
	"bytes"
	"errors"
	"io"
)

// MaxMessage is the longest message, in bytes, that the client accepts from the
// peer. The longest that a healthy QEMU sends is the reply to query-qmp-schema,
// some 250 kB. The memory for a message grows with what arrives, and is given
// back once the message has been dealt with.
const MaxMessage = 16 << 20

// smallBuffer is the size in bytes of a buffer that has seen no long line.
const smallBuffer = 16 << 10

var errLineTooLong = errors.New("line is longer than a message may be")

// A lineReader cuts a stream into lines. Unlike bufio.Scanner it gives the
// memory of a long line back, and unlike bufio.Reader it has an upper bound.
type lineReader struct {
	src     io.Reader
	max     int    // longest line accepted, in bytes without its end
	small   int    // length of buf at first, and again after a long line
	buf     []byte // buf[start:end] has been read, but not yet returned
	start   int
	end     int
	scanned int // buf[start:scanned] is known to hold no newline
}

func newLineReader(src io.Reader, longest int) *lineReader {
	return &lineReader{src: src, max: longest, small: smallBuffer, buf: make([]byte, smallBuffer)}
}

// next returns the next line without the white space around it. The slice is
// valid until the following call. Bytes after the last newline are not a line:
// the error is then io.ErrUnexpectedEOF, and io.EOF if there were none.
func (r *lineReader) next() ([]byte, error) {
	for {
		if i := bytes.IndexByte(r.buf[r.scanned:r.end], '\n'); i >= 0 {
			return r.take(r.scanned + i)
		}
		r.scanned = r.end
		if r.end-r.start > r.max {
			return nil, errLineTooLong
		}
		r.makeRoom()
		n, err := r.src.Read(r.buf[r.end:])
		r.end += n
		if n > 0 || err == nil {
			continue // an error that came with bytes will come again
		}
		if errors.Is(err, io.EOF) && r.partial() != nil {
			err = io.ErrUnexpectedEOF
		}
		return nil, err
	}
}

// take returns the line that ends before the newline at buf[newline].
func (r *lineReader) take(newline int) ([]byte, error) {
	line := r.buf[r.start:newline]
	r.start = newline + 1
	r.scanned = r.start
	if len(line) > r.max {
		return nil, errLineTooLong
	}
	return bytes.TrimSpace(line), nil
}

// partial returns what has arrived of an unfinished line, nil if nothing has.
func (r *lineReader) partial() []byte {
	if rest := bytes.TrimSpace(r.buf[r.start:r.end]); len(rest) > 0 {
		return rest
	}
	return nil
}

// makeRoom leaves room for at least one more byte at buf[end:]: by moving the
// unread bytes to the front, into a bigger buffer if they fill this one, or
// back into a small one after a long line.
func (r *lineReader) makeRoom() {
	unread := r.buf[r.start:r.end]
	switch {
	case len(unread) < r.small && len(r.buf) > r.small:
		r.buf = make([]byte, r.small)
	case len(unread) == len(r.buf):
		r.buf = make([]byte, min(2*len(r.buf), r.max+2))
	case r.end < len(r.buf):
		return
	}
	copy(r.buf, unread)
	r.start, r.end = 0, len(unread)
	r.scanned = r.end
}
