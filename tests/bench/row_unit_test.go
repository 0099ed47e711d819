package bench

import (
	"strings"
	"testing"
)

func TestMedian(t *testing.T) {
	for _, test := range []struct {
		of   samples
		want float64
	}{
		{nil, 0},
		{samples{3}, 3},
		{samples{9, 1, 2}, 2},
		{samples{4, 1, 9, 2}, 3},
	} {
		if got := test.of.median(); got != test.want {
			t.Errorf("median of %v: %v, want %v", test.of, got, test.want)
		}
	}
}

func TestTableShowsGoalsMetAndMissed(t *testing.T) {
	r := row{what: "start", unit: milliseconds, kvmrun: samples{.120, .100, .110}, against: "by hand", other: samples{.100, .100, .100}}
	for _, test := range []struct {
		name string
		goal goal
		want string
	}{
		{"none", goal{}, "| – | – |"},
		{"ratio met", atMost(1.10), "| ratio ≤ 1.10 | yes |"},
		{"ratio missed", atMost(1.09), "| ratio ≤ 1.09 | **no** |"},
		{"difference met", atMost(1.05).or(atMostMore(.010, milliseconds)), "| ratio ≤ 1.05 or ≤ 10 ms more | yes |"},
		{"both missed", atMost(1.05).or(atMostMore(.009, milliseconds)), "| **no** |"},
		{"absolute met", below(.111, milliseconds), "| yes |"},
		{"absolute missed", below(.110, milliseconds), "| **no** |"},
		{"at least met", atLeast(1.09), "| yes |"},
		{"at least missed", atLeast(1.11), "| **no** |"},
		{"longer", notLonger(), "| **no** |"},
		{"not behind", notBehind(), "| yes |"},
	} {
		r.goal = test.goal
		line := strings.Split(table([]row{r}), "\n")[2]
		if !strings.HasPrefix(line, "| start | 110.0 ms (100.0–120.0) | by hand | 100.0 ms (100.0–100.0) | 1.10 (1.00–1.20) | 3 |") ||
			!strings.HasSuffix(line, test.want) {
			t.Errorf("%s: %s", test.name, line)
		}
	}
}

func TestRowWithoutAnotherWay(t *testing.T) {
	r := row{what: "memory", unit: megabytes, kvmrun: samples{5e6}, goal: below(10e6, megabytes)}
	if got := table([]row{r}); !strings.HasSuffix(got, "| memory | 5.00 MB (5.00–5.00) | – | – | – | 1 | < 10 MB | yes |\n") {
		t.Error(got)
	}
}
