package qmp

import (
	"bytes"
	"errors"
	"io"
	"strings"
	"testing"
	"testing/iotest"
)

// readLines returns the lines that r has and the error that ended them.
func readLines(r *lineReader) (lines []string, err error) {
	for {
		line, err := r.next()
		if err != nil {
			return lines, err
		}
		lines = append(lines, string(line))
	}
}

func TestLines(t *testing.T) {
	long := strings.Repeat("x", 3*smallBuffer)
	for name, tc := range map[string]struct {
		in   string
		want []string
		end  error
	}{
		"nothing":     {"", nil, io.EOF},
		"one":         {"a\n", []string{"a"}, io.EOF},
		"line ends":   {"a\r\n\nb \n", []string{"a", "", "b"}, io.EOF},
		"half a line": {"a\nb", []string{"a"}, io.ErrUnexpectedEOF},
		"only blanks": {"a\n \r", []string{"a"}, io.EOF},
		"long":        {long + "\nb\n" + long + "\n", []string{long, "b", long}, io.EOF},
		"longest":     {long + "xxxx\n", []string{long + "xxxx"}, io.EOF},
		"too long":    {"a\n" + long + "xxxxx\n", []string{"a"}, errLineTooLong},
		"endless":     {long + long, nil, errLineTooLong},
	} {
		t.Run(name, func(t *testing.T) {
			for _, src := range []io.Reader{
				strings.NewReader(tc.in),
				iotest.OneByteReader(strings.NewReader(tc.in)),
				iotest.DataErrReader(strings.NewReader(tc.in)),
			} {
				got, err := readLines(newLineReader(src, len(long)+4))
				if !errors.Is(err, tc.end) || strings.Join(got, "|") != strings.Join(tc.want, "|") {
					t.Errorf("%T: %d lines, %v; want %d, %v", src, len(got), err, len(tc.want), tc.end)
				}
			}
		})
	}
}

func TestLongLineGivesItsMemoryBack(t *testing.T) {
	long := strings.Repeat("x", 1<<20) + "\n"
	r := newLineReader(io.MultiReader(strings.NewReader(long), strings.NewReader("short\n")), MaxMessage)
	for _, most := range []int{2 << 20, smallBuffer} {
		if _, err := r.next(); err != nil {
			t.Fatal(err)
		}
		if len(r.buf) > most {
			t.Errorf("buffer has %d bytes, want at most %d", len(r.buf), most)
		}
	}
}

func FuzzLines(f *testing.F) {
	f.Add([]byte("a\r\n\nb"), uint8(1))
	f.Add(bytes.Repeat([]byte("0123456789abcde\n"), 4), uint8(20))
	f.Add(bytes.Repeat([]byte{0}, 40), uint8(3))
	f.Add([]byte("0123456789012345678901234567890123456789\na\nb\n"), uint8(33))
	f.Fuzz(func(t *testing.T, in []byte, step uint8) {
		const small = 16 // so that short inputs reach every path
		src := &stepReader{in, 1 + int(step)}
		got, err := readLines(&lineReader{src: src, max: MaxMessage, small: small, buf: make([]byte, small)})
		parts := strings.Split(string(in), "\n")
		last := parts[len(parts)-1]
		want := parts[:len(parts)-1]
		if len(got) != len(want) {
			t.Fatalf("%d lines, want %d", len(got), len(want))
		}
		for i := range want {
			if got[i] != string(bytes.TrimSpace([]byte(want[i]))) {
				t.Fatalf("line %d: %q, want %q", i, got[i], want[i])
			}
		}
		if cut := len(bytes.TrimSpace([]byte(last))) > 0; cut != errors.Is(err, io.ErrUnexpectedEOF) {
			t.Fatalf("rest %q ended with %v", last, err)
		}
	})
}

// A stepReader gives its bytes a few at a time.
type stepReader struct {
	rest []byte
	step int
}

func (r *stepReader) Read(p []byte) (int, error) {
	if len(r.rest) == 0 {
		return 0, io.EOF
	}
	n := copy(p, r.rest[:min(r.step, len(r.rest))])
	r.rest = r.rest[n:]
	return n, nil
}
