package fetch

import (
	"bytes"
	"context"
	"os"
)

// holeSize is the unit in which zeros become holes: a page, which is the block
// of most file systems.
const holeSize = 4 << 10

var zeros [holeSize]byte

// sparse writes a file from its start to its end and leaves out what is zero.
type sparse struct {
	ctx   context.Context
	f     *os.File
	room  room
	limit int64
	size  int64
}

// Write takes any number of bytes. Blocks begin at multiples of holeSize in
// the file, wherever p does.
func (s *sparse) Write(p []byte) (int, error) {
	if err := s.ctx.Err(); err != nil {
		return 0, err
	}
	if int64(len(p)) > s.limit-s.size {
		return 0, &Error{Kind: ErrSize, Detail: "unpacked it is larger than " + amount(s.limit), Advice: "unpack it by yourself if it should be"}
	}
	written := 0
	for written < len(p) {
		n := run(p[written:], s.size)
		block := p[written : written+n]
		if !allZero(block) {
			if _, err := s.f.WriteAt(block, s.size); err != nil {
				return written, err
			}
			if err := s.room.took(n); err != nil {
				return written, err
			}
		}
		s.size += int64(n)
		written += n
	}
	return written, nil
}

// run is how many bytes of p, which belong at offset at, are written or left out
// together: up to the next hole's start or end.
func run(p []byte, at int64) int {
	n := min(len(p), holeSize-int(at%holeSize))
	zero := allZero(p[:n])
	for n < len(p) {
		next := p[n:min(len(p), n+holeSize)]
		if allZero(next) != zero {
			break
		}
		n += len(next)
	}
	return n
}

func allZero(p []byte) bool {
	for len(p) > 0 {
		n := min(len(p), holeSize)
		if !bytes.Equal(p[:n], zeros[:n]) {
			return false
		}
		p = p[n:]
	}
	return true
}

// end gives the file its size, for it may end with a hole.
func (s *sparse) end() error { return s.f.Truncate(s.size) }
