package main

import (
	"io"
	"strconv"
	"strings"
	"sync/atomic"
	"unicode/utf8"

	"kvmrun/launcher"
)

// output is where results go. It remembers that a write failed, so that a
// command may print as it likes: exit tells.
type output struct {
	w      io.Writer
	failed atomic.Pointer[launcher.Error]
}

// kindOutput is the command's own: everything worked but the telling.
const kindOutput launcher.Kind = "output"

func (o *output) Write(p []byte) (int, error) {
	n, err := o.w.Write(p)
	if err == nil {
		return n, nil
	}
	failed := &launcher.Error{Kind: kindOutput, Op: "print the result", Err: err}
	o.failed.CompareAndSwap(nil, failed)
	return n, failed
}

// lost is the first failure of the output's, nil if there was none.
func lost(w io.Writer) error {
	if o, ok := w.(*output); ok {
		if failed := o.failed.Load(); failed != nil {
			return failed
		}
	}
	return nil
}

// word is a text of others' in a table: quoted if it holds what would break
// the line or what a terminal obeys.
func word(text string) string {
	if harmless(text) == text {
		return text
	}
	return strconv.Quote(text)
}

// harmless writes what a terminal would obey as Go does, like \n and \x1b.
func harmless(text string) string {
	var b strings.Builder
	for len(text) > 0 {
		r, size := utf8.DecodeRuneInString(text)
		if strconv.IsPrint(r) && (r != utf8.RuneError || size > 1) {
			b.WriteString(text[:size])
		} else {
			quoted := strconv.Quote(text[:size])
			b.WriteString(quoted[1 : len(quoted)-1])
		}
		text = text[size:]
	}
	return b.String()
}

// harmlessLines is harmless for a text of several lines.
func harmlessLines(text string) []string {
	lines := strings.Split(strings.TrimRight(text, "\n"), "\n")
	for i, line := range lines {
		lines[i] = harmless(line)
	}
	return lines
}
