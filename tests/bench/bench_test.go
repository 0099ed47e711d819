package bench

import (
	"errors"
	"fmt"
	"os"
	"os/signal"
	"slices"
	"strings"
	"syscall"
	"testing"

	"kvmrun/tests/document"
)

// subject is something to measure; it returns a row for each comparison.
type subject struct {
	name    string
	measure func(b *testing.B) []row
}

// The sections of the document.
const (
	ownSection   = "bench"
	peersSection = "bench-peers"
)

var subjects = map[string][]subject{
	ownSection: {
		{"start", measureStart},
		{"stop", measureStop},
		{"network", measureNetwork},
		{"list", measureList},
		{"memory", measureMemory},
		{"images", measureImages},
		{"cold", measureCold},
		{"traffic", measureTraffic},
		{"talk", measureTalk},
	},
	peersSection: {
		{"libvirt", measureLibvirt},
	},
}

// Benchmark measures what the command line asks for and prints the table.
func Benchmark(b *testing.B) {
	ownTemporaryDir(b)
	section := ownSection
	if *peers {
		section = peersSection
	}
	chosen, err := choose(subjects[section], *only)
	if err != nil {
		b.Fatal(err)
	}
	circumstances := describeMachine(b)
	fmt.Println(circumstances)
	var rows []row
	var without []string // subjects that gave no rows
	for _, s := range chosen {
		before := len(rows)
		b.Run(s.name, func(b *testing.B) {
			b.ReportMetric(0, "ns/op") // says nothing here
			found := s.measure(b)
			fmt.Printf("\n%s\n", table(found))
			rows = append(rows, found...)
		})
		if len(rows) == before {
			without = append(without, s.name)
		}
	}
	result := circumstances + "\n" + table(rows)
	fmt.Printf("\n%s", result)
	if *storeTo == "" {
		return
	}
	if why := gaps(len(chosen) < len(subjects[section]), *count > 0, b.Failed(), without); why != "" {
		fmt.Printf("\n%s is left as it is: %s\n", *storeTo, why)
		return
	}
	if err := document.Store(*storeTo, section, result); err != nil {
		b.Fatal(err)
	}
}

// gaps says why a result is not fit for the document; "" if it is.
func gaps(selected, counted, failed bool, without []string) string {
	switch {
	case selected:
		return "not everything was measured"
	case counted:
		return "it was not measured as often as is usual"
	case failed:
		return "a measurement failed"
	case len(without) > 0:
		return "there are no numbers for " + strings.Join(without, ", ")
	}
	return ""
}

func TestGaps(t *testing.T) {
	for _, test := range []struct {
		selected, counted, failed bool
		without                   []string
		want                      string
	}{
		{false, false, false, nil, ""},
		{true, false, false, nil, "not everything"},
		{false, true, false, nil, "as often"},
		{false, false, true, nil, "failed"},
		{false, false, false, []string{"network", "libvirt"}, "network, libvirt"},
	} {
		got := gaps(test.selected, test.counted, test.failed, test.without)
		if (got == "") != (test.want == "") || !strings.Contains(got, test.want) {
			t.Errorf("%+v: %q", test, got)
		}
	}
}

// choose picks subjects by their names; no names are all.
func choose(from []subject, names string) ([]subject, error) {
	if names == "" {
		return from, nil
	}
	var chosen []subject
	for name := range strings.SplitSeq(names, ",") {
		i := slices.IndexFunc(from, func(s subject) bool { return s.name == name })
		if i < 0 {
			var known []string
			for _, s := range from {
				known = append(known, s.name)
			}
			return nil, fmt.Errorf("no subject is called %q; there are: %s", name, strings.Join(known, ", "))
		}
		chosen = append(chosen, from[i])
	}
	return chosen, nil
}

func TestChoose(t *testing.T) {
	from := []subject{{name: "a"}, {name: "b"}}
	for _, test := range []struct{ names, want string }{{"", "ab"}, {"b", "b"}, {"b,a", "ba"}} {
		chosen, err := choose(from, test.names)
		got := ""
		for _, s := range chosen {
			got += s.name
		}
		if err != nil || got != test.want {
			t.Errorf("%q: %q, %v", test.names, got, err)
		}
	}
	if _, err := choose(from, "a,c"); err == nil || !strings.Contains(err.Error(), `"c"; there are: a, b`) {
		t.Errorf("c is chosen: %v", err)
	}
}

// ownTemporaryDir puts all temporary files below one directory, which goes
// with the benchmark, also when that is interrupted. Processes and networks
// need no such care: they are a lab's, and end with this process.
func ownTemporaryDir(b *testing.B) {
	dir, err := os.MkdirTemp("", "kvmrun-bench-")
	if err == nil {
		err = errors.Join(os.Chmod(dir, 0o755), os.Setenv("TMPDIR", dir))
	}
	if err != nil {
		b.Fatal(err)
	}
	interrupts := make(chan os.Signal, 1)
	signal.Notify(interrupts, syscall.SIGINT, syscall.SIGTERM, syscall.SIGHUP)
	go func() {
		s, ok := <-interrupts
		if !ok {
			return
		}
		_ = os.RemoveAll(dir)
		os.Exit(128 + int(s.(syscall.Signal)))
	}()
	b.Cleanup(func() {
		signal.Stop(interrupts)
		close(interrupts)
		_ = os.RemoveAll(dir)
	})
}

// rounds lets ways take turns, once for warming up and then as often as the
// command line says or else usual, and returns the samples of each way.
func rounds(usual int, ways ...func() float64) []samples {
	n := usual
	if *count > 0 {
		n = *count
	}
	found := make([]samples, len(ways))
	for round := range n + 1 {
		for i, way := range ways {
			if x := way(); round > 0 {
				found[i] = append(found[i], x)
			}
		}
	}
	return found
}
