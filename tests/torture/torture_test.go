package torture

import (
	"fmt"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"

	"kvmrun/tests/document"
)

// section is that of the document with the table.
const section = "torture"

// TestTorture kills at the points that the command line asks for.
func TestTorture(t *testing.T) {
	if *onePoint != "" {
		tortureOne(t, *onePoint)
		return
	}
	var rows []row
	for _, s := range sweeps() {
		if !s.wanted(*only) {
			continue
		}
		found := s.run(t, *every)
		fmt.Printf("%s: %d points, %d differences\n", s.title(), found.points, found.differences)
		rows = append(rows, found)
	}
	result := table(rows, *every)
	fmt.Printf("\n%s", result)
	if *storeTo == "" {
		return
	}
	if *every > 1 || *only != "" || t.Failed() {
		fmt.Printf("\n%s is left as it is: not all was done, or not all was well\n", *storeTo)
		return
	}
	if err := document.Store(*storeTo, section, result); err != nil {
		t.Fatal(err)
	}
}

// tortureOne repeats a point.
func tortureOne(t *testing.T, name string) {
	s, at, err := findPoint(name)
	if err != nil {
		t.Fatal(err)
	}
	o := newMachine(t).torture(t, s, at)
	switch {
	case o.err != nil:
		t.Error(s.failure(at, o))
	case !o.reached:
		t.Errorf("%s is not reached; the last is %s", name, o.call)
	default:
		fmt.Printf("%s: no difference\n  %s\n", name, o.call)
	}
}

// wanted tells whether the sweep's title begins as one of the given do, which
// commas separate.
func (s sweep) wanted(titles string) bool {
	return slices.ContainsFunc(strings.Split(titles, ","), func(begin string) bool {
		return strings.HasPrefix(s.title(), begin)
	})
}

// row is what a sweep has found.
type row struct {
	sweep
	calls       int // the last point that was reached
	points      int // how many of them there were kills at
	differences int
}

// progress hands out the points of a sweep to several workers, and collects
// what they find.
type progress struct {
	sync.Mutex
	row
	next, stride int
	over         bool // a point was not reached
}

// take is the next point; 0 if there is none.
func (p *progress) take() int {
	p.Lock()
	defer p.Unlock()
	if p.over {
		return 0
	}
	at := p.next
	p.next += p.stride
	return at
}

// note takes what became of a point.
func (p *progress) note(at int, o outcome) {
	p.Lock()
	defer p.Unlock()
	if o.err != nil {
		p.differences++
	}
	if !o.reached {
		p.over = true
		return
	}
	p.points++
	p.calls = max(p.calls, at)
}

// run goes through the points of a sweep until one is not reached.
func (s sweep) run(t *testing.T, stride int) row {
	p := &progress{row: row{sweep: s}, next: 1, stride: stride}
	t.Run(s.title(), func(t *testing.T) {
		for worker := range runtime.GOMAXPROCS(0) {
			t.Run(fmt.Sprintf("worker-%d", worker), func(t *testing.T) {
				t.Parallel()
				s.work(t, p)
			})
		}
	})
	if p.points == 0 && !t.Failed() {
		t.Errorf("%s has no point: the call at which it begins was not seen", s.title())
	}
	return p.row
}

// work tortures one machine after another: a machine that is no longer as it was
// serves no more.
func (s sweep) work(t *testing.T, p *progress) {
	var m *machine
	for at := p.take(); at != 0; at = p.take() {
		if m == nil {
			m = newMachine(t)
		}
		o := m.torture(t, s, at)
		p.note(at, o)
		if o.err != nil {
			t.Error(s.failure(at, o))
			m.Kill()
			m = nil
		}
	}
}

// table is the rows in Markdown, with how many points there were in all.
func table(rows []row, stride int) string {
	var b strings.Builder
	b.WriteString("| Done | At each call of | Killed | Points | Differences |\n|---|---|---|---|---|\n")
	points, differences := 0, 0
	for _, r := range rows {
		fmt.Fprintf(&b, "| %s | %s | %s | %d | %d |\n", r.says, r.trigger, r.victimNames(), r.points, r.differences)
		points += r.points
		differences += r.differences
	}
	which := "every system call that changes the host"
	if stride > 1 {
		which = fmt.Sprintf("every %dth system call that changes the host", stride)
	}
	fmt.Fprintf(&b, "\n%d points, at %s; %d differences.\n", points, which, differences)
	return b.String()
}

// victimNames are the victims, for people.
func (c cut) victimNames() string {
	names := make([]string, len(c.victims))
	for i, v := range c.victims {
		names[i] = string(v)
	}
	return strings.Join(names, ", ")
}
