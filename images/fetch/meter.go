package fetch

import (
	"context"
	"io"
)

// meter reports how much has been read, and ends with a context. It keeps the
// first error of the reader below, so that it can be told from what a
// decompressor makes of it.
type meter struct {
	ctx         context.Context
	r           io.Reader
	done, total int64
	progress    func(done, total int64)
	err         error
}

func (m *meter) Read(p []byte) (int, error) {
	if err := m.ctx.Err(); err != nil {
		return 0, err
	}
	n, err := m.r.Read(p)
	if m.done += int64(n); n > 0 {
		m.progress(m.done, m.total)
	}
	if err != nil && err != io.EOF && m.err == nil {
		m.err = err
	}
	return n, err
}
