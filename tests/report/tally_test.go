package main

import (
	"errors"
	"strconv"
	"strings"
	"testing"
)

func TestReport(t *testing.T) {
	for _, test := range []struct {
		name, events, want string
		err                error
	}{
		{
			name: "one of each",
			events: `{"Action":"run","Package":"p","Test":"TestA"}
{"Action":"pass","Package":"p","Test":"TestA"}
{"Action":"output","Package":"p","Test":"TestB","Output":"=== RUN   TestB\n"}
{"Action":"output","Package":"p","Test":"TestB","Output":"    b_test.go:7: needs /dev/kvm\n"}
{"Action":"output","Package":"p","Test":"TestB","Output":"--- SKIP: TestB (0.00s)\n"}
{"Action":"skip","Package":"p","Test":"TestB"}
{"Action":"output","Package":"p","Test":"TestC","Output":"    c_test.go:9: got 1, want 2\n"}
{"Action":"fail","Package":"p","Test":"TestC"}
{"Action":"fail","Package":"p","Elapsed":1.25}
`,
			want: "    c_test.go:9: got 1, want 2\nFAIL  p  1.2 s\nskipped:\n" +
				"  p TestB: b_test.go:7: needs /dev/kvm\n1 passed, 1 failed, 1 skipped\n",
			err: errFailed,
		},
		{
			name: "packages that do not build: one, one that needs it, and a test",
			events: `{"ImportPath":"p/a","Action":"build-output","Output":"# p/a\n"}
{"ImportPath":"p/a","Action":"build-output","Output":"a/a.go:3:23: cannot use \"x\" as int value\n"}
{"ImportPath":"p/a","Action":"build-fail"}
{"Action":"start","Package":"p/a"}
{"Action":"output","Package":"p/a","Output":"FAIL\tp/a [build failed]\n"}
{"Action":"fail","Package":"p/a","Elapsed":0,"FailedBuild":"p/a"}
{"Action":"start","Package":"p/b"}
{"Action":"output","Package":"p/b","Output":"FAIL\tp/b [build failed]\n"}
{"Action":"fail","Package":"p/b","Elapsed":0,"FailedBuild":"p/a"}
{"ImportPath":"p/c [p/c.test]","Action":"build-output","Output":"# p/c [p/c.test]\n"}
{"ImportPath":"p/c [p/c.test]","Action":"build-output","Output":"c/c_test.go:5:34: undefined: undefined\n"}
{"ImportPath":"p/c [p/c.test]","Action":"build-fail"}
{"Action":"start","Package":"p/c"}
{"Action":"output","Package":"p/c","Output":"FAIL\tp/c [build failed]\n"}
{"Action":"fail","Package":"p/c","Elapsed":0,"FailedBuild":"p/c [p/c.test]"}
{"Action":"pass","Package":"p/d","Test":"TestD"}
{"Action":"pass","Package":"p/d","Elapsed":0.004}
`,
			want: "# p/a\na/a.go:3:23: cannot use \"x\" as int value\n" +
				"FAIL\tp/a [build failed]\nFAIL  p/a  0.0 s\nFAIL\tp/b [build failed]\nFAIL  p/b  0.0 s\n" +
				"# p/c [p/c.test]\nc/c_test.go:5:34: undefined: undefined\n" +
				"FAIL\tp/c [build failed]\nFAIL  p/c  0.0 s\nok    p/d  0.0 s\n1 passed, 3 failed, 0 skipped\n",
			err: errFailed,
		},
		{
			name:   "nothing",
			events: `{"Action":"skip","Package":"p"}` + "\n",
			want:   "amiss:\n  no test passed\n0 passed, 0 failed, 0 skipped\n",
			err:    errNothing,
		},
		{
			name:   "everything is skipped",
			events: skipped("TestB", "needs root") + `{"Action":"pass","Package":"p"}` + "\n",
			want:   "ok    p  0.0 s\nskipped:\n  p TestB: needs root\namiss:\n  p: every test was skipped\n  no test passed\n0 passed, 0 failed, 1 skipped\n",
			err:    errNothing,
		},
	} {
		t.Run(test.name, func(t *testing.T) {
			var out strings.Builder
			total := newTally(&out)
			if err := read(strings.NewReader(test.events), total); err != nil {
				t.Fatal(err)
			}
			if err := total.summary(); !errors.Is(err, test.err) {
				t.Errorf("error %v, want %v", err, test.err)
			}
			if got := out.String(); got != test.want {
				t.Errorf("got\n%s\nwant\n%s", got, test.want)
			}
		})
	}
}

// skipped are the events of a test that was skipped.
func skipped(test, why string) string {
	return `{"Action":"output","Package":"p","Test":"` + test + `","Output":"` + why + `\n"}` + "\n" +
		`{"Action":"skip","Package":"p","Test":"` + test + `"}` + "\n"
}

const passed = `{"Action":"pass","Package":"p","Test":"TestA"}` + "\n"

func TestReportOfSeveral(t *testing.T) {
	for _, test := range []struct {
		name    string
		strict  bool
		sources []string
		want    string
		err     error
	}{
		{"well", true, []string{passed, passed}, "2 passed, 0 failed, 0 skipped\n", nil},
		{
			"nothing in one of them", false, []string{passed, skipped("TestB", "needs root")},
			"skipped:\n  1: p TestB: needs root\namiss:\n  1: no test passed\n1 passed, 0 failed, 1 skipped\n", errNothing,
		},
		{
			"one of them is empty", false, []string{passed, "", passed},
			"amiss:\n  1: no test passed\n2 passed, 0 failed, 0 skipped\n", errNothing,
		},
		{
			"nothing in one package", false,
			[]string{`{"Action":"pass","Package":"q","Test":"TestA"}` + "\n" + skipped("TestA/b", "needs root") + passed + `{"Action":"pass","Package":"p"}` + "\n"},
			"skipped:\n  0: p TestA/b: needs root\namiss:\n  0: p: every test was skipped\n2 passed, 0 failed, 1 skipped\n", errNothing,
		},
		{
			"a skip", false, []string{passed + skipped("TestB", "needs root")},
			"skipped:\n  0: p TestB: needs root\n1 passed, 0 failed, 1 skipped\n", nil,
		},
		{
			"a skip where there is no excuse", true,
			[]string{passed + skipped("TestB", "needs root") + skipped("TestC", "needs a free loop device: no such device")},
			"skipped:\n  0: p TestC: needs a free loop device: no such device\n" +
				"skipped, and could have been run:\n  0: p TestB: needs root\n1 passed, 0 failed, 2 skipped\n", errSkipped,
		},
	} {
		t.Run(test.name, func(t *testing.T) {
			var out strings.Builder
			total := newTally(&out)
			total.strict = test.strict
			total.quiet = true
			for i, text := range test.sources {
				total.source = strconv.Itoa(i)
				if err := read(strings.NewReader(text), total); err != nil {
					t.Fatal(err)
				}
			}
			if err := total.summary(); !errors.Is(err, test.err) {
				t.Errorf("error %v, want %v", err, test.err)
			}
			if got := out.String(); got != test.want {
				t.Errorf("got\n%s\nwant\n%s", got, test.want)
			}
		})
	}
}
