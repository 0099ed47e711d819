package bench

import (
	"fmt"
	"os"
	"regexp"
	"strconv"
	"testing"

	"kvmrun/tests/lab"
)

// measureNetwork runs netplumb's own benchmarks, which have the raw ioctls and
// netlink messages to compare with, and the plan's script: each is one more
// guest beside 0, 99 and 499 others.
func measureNetwork(b *testing.B) []row {
	if *netplumb == "" {
		b.Skip("the subject network needs -netplumb; make bench builds it")
	}
	h := newHost(b)
	var rows []row
	for _, others := range []int{0, 99, 499} {
		costs := make([][]cost, 4)
		way := func(i int, name string, iterations int) func() float64 {
			return func() float64 {
				costs[i] = append(costs[i], h.costOf(b, name, others, iterations))
				return 0
			}
		}
		rounds(5, way(0, "Plan", 20), way(1, "Floor", 20), way(2, "Shell", 2), way(3, "Watched", 20))
		for i := range costs {
			costs[i] = costs[i][1:] // the first round was for warming up
		}
		rows = append(rows, networkRows(others+1, costs[0], costs[1], costs[2])...)
		if others > 0 {
			rows = append(rows, watchedRow(others, costs[3], costs[0]))
		}
	}
	return rows
}

// watchedRow tells what it costs one more guest that the others' supervisors
// watch what happens to the host's network.
func watchedRow(others int, watched, alone []cost) row {
	up := func(c cost) float64 { return c.up }
	return row{
		what: fmt.Sprintf("network set-up while %d watch", others), unit: microseconds, kvmrun: each(watched, up),
		against: "the same while none does", other: each(alone, up),
	}
}

// cost is that of one guest's network, in seconds.
type cost struct{ up, down, tap float64 }

func networkRows(nth int, plan, floor, shell []cost) []row {
	name := fmt.Sprintf("of address %d", nth)
	up := func(c cost) float64 { return c.up }
	down := func(c cost) float64 { return c.down }
	away := func(c cost) float64 { return c.tap + c.down }
	all := func(c cost) float64 { return c.up + c.tap + c.down }
	const raw = "raw ioctl and netlink"
	return []row{
		{what: "network set-up " + name, unit: microseconds, kvmrun: each(plan, up),
			against: raw, other: each(floor, up), goal: atMost(2)},
		{what: "network tear-down " + name, unit: milliseconds, kvmrun: each(plan, away),
			against: raw, other: each(floor, away), goal: atMost(2)},
		{what: "– of it, all but the tap", unit: microseconds, kvmrun: each(plan, down),
			against: raw, other: each(floor, down)},
		{what: "both " + name, unit: milliseconds, kvmrun: each(plan, all),
			against: "shell commands", other: each(shell, all)},
	}
}

func each(costs []cost, part func(cost) float64) samples {
	var s samples
	for _, c := range costs {
		s = append(s, part(c))
	}
	return s
}

// costOf runs one of netplumb's benchmarks in a network namespace of its own
// and returns the mean of its iterations. What netplumb writes down goes to a
// file system in memory, as kvmrun's /run is one.
func (h *host) costOf(b *testing.B, name string, others, iterations int) cost {
	outside, err := os.Readlink("/proc/self/ns/net")
	if err != nil {
		b.Fatal(err)
	}
	// The first variable tells netplumb's tests that they are where they may
	// work, which is elsewhere.
	env := []string{"NETPLUMB_TEST_OUTSIDE=" + outside, "TMPDIR=/run"}
	r := h.RunWith(b, lab.Run{Env: env}, "unshare", "--net", *netplumb, "-test.run=^$", "-test.timeout=2m",
		fmt.Sprintf("-test.bench=^Benchmark%s$/^%d$", name, others), fmt.Sprintf("-test.benchtime=%dx", iterations))
	if r.ExitCode != 0 {
		b.Fatal(r)
	}
	return cost{
		up:   metric(b, r.Stdout, "up-µs") * 1e-6,
		down: metric(b, r.Stdout, "down-µs") * 1e-6,
		tap:  metric(b, r.Stdout, "tap-ms") * 1e-3,
	}
}

// metric reads a value from a benchmark's line.
func metric(b *testing.B, out, unit string) float64 {
	found := regexp.MustCompile(`([0-9.]+(?:e[+-]?[0-9]+)?) ` + unit).FindStringSubmatch(out)
	if found == nil {
		b.Fatalf("no %s in:\n%s", unit, out)
	}
	value, err := strconv.ParseFloat(found[1], 64)
	if err != nil {
		b.Fatal(err)
	}
	return value
}
