package main

import (
	"errors"
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
			name: "a package that does not build",
			events: `# p
p/a.go:1:1: expected 'package'
{"Action":"output","Package":"p","Output":"FAIL p [build failed]\n"}
{"Action":"fail","Package":"p","Elapsed":0}
`,
			want: "# p\np/a.go:1:1: expected 'package'\nFAIL p [build failed]\nFAIL  p  0.0 s\n0 passed, 1 failed, 0 skipped\n",
			err:  errFailed,
		},
		{
			name:   "nothing",
			events: `{"Action":"skip","Package":"p"}` + "\n",
			want:   "0 passed, 0 failed, 0 skipped\n",
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
