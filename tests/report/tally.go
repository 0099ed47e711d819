package main

import (
	"errors"
	"fmt"
	"io"
	"strings"
)

// event is a line of `go test -json`, as `go doc test2json` describes it.
type event struct {
	Action  string
	Package string
	Test    string
	Output  string
	Elapsed float64 // seconds
}

// tally counts tests, subtests included. A package that fails without a test
// of its own failing (it does not build, panics, runs out of time) counts as
// one that failed.
type tally struct {
	passed, failed, skipped int

	out     io.Writer
	quiet   bool   // only the summary is printed
	source  string // of what is read now, when there are several
	output  map[string][]string
	broken  map[string]int // tests that failed, by package
	reasons []string       // of what was skipped
}

func newTally(out io.Writer) *tally {
	return &tally{out: out, output: map[string][]string{}, broken: map[string]int{}}
}

func (t *tally) print(text string) {
	if !t.quiet {
		_, _ = io.WriteString(t.out, text)
	}
}

func (t *tally) add(e event) {
	id := e.Package + " " + e.Test
	switch e.Action {
	case "output", "build-output":
		t.output[id] = append(t.output[id], e.Output)
		return
	case "pass", "fail", "skip":
	default:
		return
	}
	if e.Test == "" {
		t.endPackage(e)
	} else {
		t.endTest(e)
	}
	delete(t.output, id)
}

func (t *tally) endTest(e event) {
	output := t.output[e.Package+" "+e.Test]
	switch e.Action {
	case "pass":
		t.passed++
	case "fail":
		t.failed++
		t.broken[e.Package]++
		t.print(strings.Join(output, ""))
	case "skip":
		t.skipped++
		t.reasons = append(t.reasons, fmt.Sprintf("%s%s %s: %s", t.prefix(), e.Package, e.Test, reason(output)))
	}
}

func (t *tally) endPackage(e event) {
	switch e.Action {
	case "fail":
		if t.broken[e.Package] == 0 {
			t.failed++
		}
		t.print(strings.Join(t.output[e.Package+" "], ""))
		t.print(fmt.Sprintf("FAIL  %s  %.1f s\n", e.Package, e.Elapsed))
	case "pass":
		t.print(fmt.Sprintf("ok    %s  %.1f s\n", e.Package, e.Elapsed))
	}
	// A "skip" of a package says only that it has no tests.
	delete(t.broken, e.Package)
}

func (t *tally) prefix() string {
	if t.source == "" {
		return ""
	}
	return t.source + ": "
}

// reason is what a test said before it was skipped, without the lines that
// frame it.
func reason(output []string) string {
	var said []string
	for _, line := range output {
		line = strings.TrimSpace(line)
		if line != "" && !strings.HasPrefix(line, "=== ") && !strings.HasPrefix(line, "--- ") {
			said = append(said, line)
		}
	}
	if len(said) == 0 {
		return "no reason given"
	}
	return strings.Join(said, " ")
}

var (
	errFailed  = errors.New("there were failures")
	errNothing = errors.New("no test was run")
)

func (t *tally) summary() error {
	if len(t.reasons) > 0 {
		_, _ = fmt.Fprintln(t.out, "skipped:")
		for _, r := range t.reasons {
			_, _ = fmt.Fprintln(t.out, "  "+r)
		}
	}
	_, _ = fmt.Fprintf(t.out, "%d passed, %d failed, %d skipped\n", t.passed, t.failed, t.skipped)
	switch {
	case t.failed > 0:
		return errFailed
	case t.passed+t.skipped == 0:
		return errNothing
	}
	return nil
}
