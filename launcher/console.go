package launcher

import (
	"bytes"
	"errors"
	"io"
	"io/fs"
	"os"
	"regexp"

	"kvmrun/launcher/vmdir"
)

// console reads the log of a VM's console as it grows.
type console struct {
	path string
	from int64    // where to begin, in bytes
	last bool     // or later: what is older than maxWindow does not matter
	file *os.File // nil until it is there
}

// restart begins at another place.
func (c *console) restart(from int64, last bool) {
	c.close()
	c.file, c.from, c.last = nil, from, last
}

// read hands on all that was said since the last time. A log that is not there yet
// has nothing to say.
func (c *console) read(hear func([]byte)) error {
	if c.file == nil {
		if err := c.open(); err != nil || c.file == nil {
			return err
		}
	}
	chunk := make([]byte, maxWindow)
	for {
		n, err := c.file.Read(chunk)
		hear(chunk[:n])
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
	}
}

func (c *console) open() error {
	file, err := os.Open(c.path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	if err := c.goTo(file); err != nil {
		_ = file.Close()
		return err
	}
	c.file = file
	return nil
}

// goTo moves a file's offset to where to begin, or to the first line after that which
// is still there.
func (c *console) goTo(file *os.File) error {
	if err := vmdir.SkipHole(file); err != nil {
		return err
	}
	at, err := file.Seek(0, io.SeekCurrent)
	if err != nil {
		return err
	}
	from := max(at, c.from)
	if c.last {
		end, err := file.Seek(0, io.SeekEnd)
		if err != nil {
			return err
		}
		from = max(from, end-maxWindow)
	}
	_, err = file.Seek(from, io.SeekStart)
	return err
}

func (c *console) close() {
	if c.file != nil {
		_ = c.file.Close()
	}
}

// search looks for a pattern in what is added to a text, and a little before.
type search struct {
	pattern *regexp.Regexp
	window  []byte
}

// maxWindow is how far back a match may begin, in bytes.
const maxWindow = 64 << 10

// take adds to the text and tells whether the pattern is found now.
func (s *search) take(text []byte) bool {
	s.window = append(s.window, bytes.ReplaceAll(text, []byte("\r"), nil)...)
	if s.pattern.Match(s.window) {
		return true
	}
	if over := len(s.window) - maxWindow; over > 0 {
		s.window = s.window[over:]
	}
	return false
}
