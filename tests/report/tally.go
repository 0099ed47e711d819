package main

import (
	"errors"
	"fmt"
	"io"
	"regexp"
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
	strict  bool   // what could have been run may not be skipped
	source  string // of what is read now, when there are several
	here    int    // tests that passed in this source, without parents
	output  map[string][]string
	ended   map[string]ends // how the tests of a package ended
	parents map[string]bool // tests with subtests: they pass though all those are skipped
	reasons []string        // of what was skipped
	amiss   []string        // of what must not have been skipped
	empty   []string        // sources and packages in which nothing passed
}

func newTally(out io.Writer) *tally {
	return &tally{out: out, output: map[string][]string{}, ended: map[string]ends{}, parents: map[string]bool{}}
}

// ends are numbers of tests of one package, passed ones without parents.
type ends struct{ passed, failed, skipped int }

// excused are the reasons for a skip that a machine which has all that can be
// installed may still have.
var excused = regexp.MustCompile(`needs (loop devices|a free loop device|a folder for device nodes)|tells no clock rate`)

func (t *tally) print(text string) {
	if !t.quiet {
		_, _ = io.WriteString(t.out, text)
	}
}

func (t *tally) add(e event) {
	id := e.Package + " " + e.Test
	switch e.Action {
	case "build-output":
		// A compiler's words stand under the name of what it compiled, which
		// several packages may need.
		t.print(e.Output)
		return
	case "output":
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
	ended := t.ended[e.Package]
	switch e.Action {
	case "pass":
		t.passed++
		if !t.parents[e.Package+" "+e.Test] {
			t.here++
			ended.passed++
		}
	case "fail":
		t.failed++
		ended.failed++
		t.print(strings.Join(output, ""))
	case "skip":
		t.skipped++
		ended.skipped++
		why := reason(output)
		line := fmt.Sprintf("%s%s %s: %s", t.prefix(), e.Package, e.Test, why)
		if t.strict && !excused.MatchString(why) {
			t.amiss = append(t.amiss, line)
		} else {
			t.reasons = append(t.reasons, line)
		}
	}
	t.ended[e.Package] = ended
	for i, c := range e.Test {
		if c == '/' {
			t.parents[e.Package+" "+e.Test[:i]] = true
		}
	}
}

func (t *tally) endPackage(e event) {
	ended := t.ended[e.Package]
	switch e.Action {
	case "fail":
		if ended.failed == 0 {
			t.failed++
		}
		t.print(strings.Join(t.output[e.Package+" "], ""))
		t.print(fmt.Sprintf("FAIL  %s  %.1f s\n", e.Package, e.Elapsed))
	case "pass":
		t.print(fmt.Sprintf("ok    %s  %.1f s\n", e.Package, e.Elapsed))
		if ended.passed == 0 && ended.skipped > 0 {
			t.empty = append(t.empty, fmt.Sprintf("%s%s: every test was skipped", t.prefix(), e.Package))
		}
	}
	// A "skip" of a package says only that it has no tests.
	delete(t.ended, e.Package)
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

// endSource is called when all of a source has been read.
func (t *tally) endSource() {
	if t.here == 0 {
		t.empty = append(t.empty, t.prefix()+"no test passed")
	}
	t.here = 0
}

var (
	errFailed  = errors.New("there were failures")
	errNothing = errors.New("no test passed")
	errSkipped = errors.New("tests were skipped that can be run here")
)

func (t *tally) summary() error {
	t.list("skipped:", t.reasons)
	t.list("skipped, and could have been run:", t.amiss)
	t.list("amiss:", t.empty)
	_, _ = fmt.Fprintf(t.out, "%d passed, %d failed, %d skipped\n", t.passed, t.failed, t.skipped)
	switch {
	case t.failed > 0:
		return errFailed
	case len(t.empty) > 0:
		return errNothing
	case len(t.amiss) > 0:
		return errSkipped
	}
	return nil
}

func (t *tally) list(title string, lines []string) {
	if len(lines) == 0 {
		return
	}
	_, _ = fmt.Fprintln(t.out, title)
	for _, line := range lines {
		_, _ = fmt.Fprintln(t.out, "  "+line)
	}
}
