package badinput

import (
	"regexp"
	"strings"
	"testing"
	"unicode"

	"kvmrun/tests/lab"
)

// refusal is a command line that kvmrun must refuse.
type refusal struct {
	name   string
	args   []string
	status int
	says   []string // words of the message: on what, and why
}

// refuseStart runs each case as arguments to start, and holds the host against
// what it was before.
func (h *host) refuseStart(t *testing.T, cases []refusal) {
	t.Helper()
	for _, c := range cases {
		c.args = concat(small, c.args)
		h.refuse(t, c)
	}
}

// refuse runs one case as a subtest.
func (h *host) refuse(t *testing.T, c refusal) {
	t.Helper()
	t.Run(c.name, func(t *testing.T) {
		r := h.Run(t, "kvmrun", c.args...)
		c.check(t, r)
		if r.ExitCode == 0 {
			name, _, _ := strings.Cut(r.Stdout, " ")
			h.Run(t, "kvmrun", "stop", "--force", name) // for the cases after this
			return
		}
		h.unchanged(t)
	})
}

// check holds a result against the case.
func (c refusal) check(t *testing.T, r lab.Result) {
	t.Helper()
	if r.ExitCode != c.status {
		t.Errorf("exit status %d, want %d:\n%s", r.ExitCode, c.status, r)
	}
	if r.Stdout != "" {
		t.Errorf("on standard output, which is for results: %q", r.Stdout)
	}
	checkMessage(t, r.Stderr)
	for _, words := range c.says {
		if !strings.Contains(r.Stderr, words) {
			t.Errorf("the message does not say %q:\n%s", words, r.Stderr)
		}
	}
}

// innards are words of Go's libraries that tell a user nothing.
var innards = regexp.MustCompile(`strconv\.|netip\.|ParseAddr|(^|\s)json: |JSON input|invalid character|%!|goroutine|panic|runtime error|0xc0|<nil>|unix\.|syscall|fork/exec|context deadline|\*errors\.|\*fs\.`)

// wayOut is advice, which stands behind a semicolon, or an example of what
// could have been meant.
var wayOut = regexp.MustCompile(`; | like \S*\d`)

// maxMessage is what a message may take: a few lines of a terminal.
const maxMessage = 700

// checkMessage wants one line for people that ends with the way out.
func checkMessage(t *testing.T, text string) {
	t.Helper()
	line, ended := strings.CutSuffix(text, "\n")
	switch {
	case !ended || strings.Contains(line, "\n"):
		t.Errorf("want one line:\n%s", text)
	case !strings.HasPrefix(line, "kvmrun: "):
		t.Errorf("want the program's name first:\n%s", text)
	case len(line) > maxMessage:
		t.Errorf("%d characters are no message:\n%s", len(line), text)
	case !wayOut.MatchString(line):
		t.Errorf("no word of what to do:\n%s", text)
	}
	if found := innards.FindString(text); found != "" {
		t.Errorf("%q is not for users:\n%s", found, text)
	}
	if i := strings.IndexFunc(line, unicode.IsControl); i >= 0 && !strings.Contains(line, "\n") {
		t.Errorf("a control character reaches the terminal: %q", line)
	}
}
