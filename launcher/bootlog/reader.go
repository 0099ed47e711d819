// Package bootlog reads what a guest's console says while it boots: its last lines,
// and whether they mean that the boot has failed.
package bootlog

// Bounds of what is kept of a console.
const (
	MaxLines = 20      // of the last lines
	maxLine  = 1 << 10 // of a line's first bytes
)

// Reader takes a console's output as it comes, in pieces of any size. The zero value
// has heard nothing.
type Reader struct {
	lines   [MaxLines]string // whole ones, each at its number modulo MaxLines
	count   int              // of whole lines
	line    []byte           // the one that has not ended yet
	escape  escape
	failure string
	told    []string // the lines up to the failure
}

// escape is where in an escape sequence the text is (ECMA-48, section 5).
type escape int

const (
	plain   escape = iota
	begun          // behind ESC
	charset        // one more byte belongs to it
	control        // in a control sequence, CSI
	command        // in a string, such as OSC
)

// Take takes what was said next.
func (r *Reader) Take(text []byte) {
	for len(text) > 0 {
		if r.escape == plain {
			n := words(text)
			r.line = append(r.line, text[:min(n, maxLine-len(r.line))]...)
			if text = text[n:]; len(text) == 0 {
				return
			}
		}
		r.take(text[0])
		text = text[1:]
	}
}

// words is how many bytes at a text's beginning have no meaning of their own.
func words(text []byte) (n int) {
	for n < len(text) && text[n] >= ' ' && text[n] != del {
		n++
	}
	return n
}

// Bytes with a meaning of their own.
const (
	bell = 0x07
	esc  = 0x1b
	del  = 0x7f
)

func (r *Reader) take(b byte) {
	switch {
	case b == esc:
		r.escape = begun
	case r.escape == begun:
		r.escape = afterESC(b)
	case r.escape == charset:
		r.escape = plain
	case r.escape == command:
		if b == bell {
			r.escape = plain
		}
	case r.escape == control:
		if b < '@' || b > '~' {
			return
		}
		r.escape = plain
		if b == 'H' || b == 'f' || b == 'J' { // to another place, or all is cleared
			r.end()
		}
	case b == '\n':
		r.end()
	case b == '\t' && len(r.line) < maxLine:
		r.line = append(r.line, b)
	}
}

func afterESC(b byte) escape {
	switch b {
	case '[':
		return control
	case ']', 'P', 'X', '^', '_':
		return command
	case '(', ')', '*', '+', '#', '%', ' ':
		return charset
	}
	return plain
}

// end ends a line. Where the cursor jumps there are many without a word.
func (r *Reader) end() {
	line := string(r.line)
	r.line = r.line[:0]
	if line == "" {
		return
	}
	r.lines[r.count%MaxLines] = line
	r.count++
	if r.failure == "" {
		if r.failure = failureIn(line); r.failure != "" {
			r.told = r.Last()
		}
	}
}

// Last is what was said last: MaxLines lines at most, without empty ones and without
// escape sequences. A terminal may obey what is left of other characters.
func (r *Reader) Last() []string {
	var lines []string
	for i := max(0, r.count-MaxLines); i < r.count; i++ {
		lines = append(lines, r.lines[i%MaxLines])
	}
	if len(r.line) > 0 {
		lines = append(lines, string(r.line))
	}
	return lines[max(0, len(lines)-MaxLines):]
}

// Told is Last as it was when the boot failed, before a kernel that panics went on with
// its call trace; the same as Last while it has not.
func (r *Reader) Told() []string {
	if r.failure != "" {
		return r.told
	}
	return r.Last()
}

// Final tells whether Failure has been said for good, and is not a prompt at which the
// boot may yet go on by itself: edk2 shows its shell's before that runs startup.nsh.
func (r *Reader) Final() bool { return r.failure != "" }

// Failure is the line that says that the boot has failed; "" while there is none. A
// prompt counts for as long as the console ends with it.
func (r *Reader) Failure() string {
	if r.failure != "" {
		return r.failure
	}
	return promptIn(string(r.line))
}
