package torture

import (
	"fmt"
	"strconv"
	"strings"
	"testing"

	"kvmrun/tests/trace"
)

// sweep is one scenario and one cut: a row of the table.
type sweep struct {
	scenario
	cut
}

// title names the sweep in points, such as start/supervisor/all.
func (s sweep) title() string {
	return s.scenario.name + "/" + string(s.trigger) + "/" + s.cut.name
}

// sweeps are all of them.
func sweeps() []sweep {
	var found []sweep
	for _, sc := range scenarios {
		for _, c := range sc.cuts {
			found = append(found, sweep{sc, c})
		}
	}
	return found
}

// findPoint tells which point a name means.
func findPoint(name string) (s sweep, at int, err error) {
	title, number, _ := cutLast(name, "/")
	if at, err = strconv.Atoi(number); err != nil || at < 1 {
		return s, 0, fmt.Errorf("point %q does not end with a number from 1 on", name)
	}
	var known []string
	for _, s := range sweeps() {
		if s.title() == title {
			return s, at, nil
		}
		known = append(known, s.title())
	}
	return s, 0, fmt.Errorf("there is no %q; there are: %s", title, strings.Join(known, ", "))
}

// cutLast is strings.Cut at the last separator.
func cutLast(text, separator string) (before, after string, found bool) {
	if i := strings.LastIndex(text, separator); i >= 0 {
		return text[:i], text[i+len(separator):], true
	}
	return text, "", false
}

// outcome is what became of one point.
type outcome struct {
	reached bool
	call    string // at which was killed
	err     error  // what is not as it should be; nil if all is
}

// torture kills at one point, waits, cleans up by gc, and looks at what is left.
func (m *machine) torture(t *testing.T, s sweep, at int) outcome {
	t.Helper()
	if s.prepare != nil {
		if err := s.prepare(t, m); err != nil {
			return outcome{reached: true, call: "none: it could not begin", err: err}
		}
	}
	report, result := m.trace(t, trace.Order{
		Command: s.command(t, m), Trigger: s.trigger, At: at, Victims: s.victims, Running: s.running,
	})
	o := outcome{reached: report.Reached, call: report.Last(s.trigger)}
	switch {
	case report.Exit == 0:
	case !o.reached:
		o.err = fmt.Errorf("nobody was killed, and yet: exit status %d\n%s", report.Exit, result)
	case s.disturb != nil:
		o.err = fmt.Errorf("what is left alive does not mend it: exit status %d\n%s", report.Exit, result)
	}
	if o.err == nil {
		o.err = m.mend(t)
	}
	if o.err != nil {
		o.err = fmt.Errorf("%w\n%s", o.err, m.describe(t))
	}
	return o
}

// mend has gc clean up. After that a VM either is looked after, and can be
// stopped as any other, or it is not there. gc passes over a VM whose lock somebody has:
// a neighbour of it may be hiring a supervisor that is killed just then, which it finds
// out a moment later. So where a VM has a neighbour, gc may be needed once more.
func (m *machine) mend(t *testing.T) error {
	t.Helper()
	if err := m.collect(t); err != nil {
		return err
	}
	if _, err := m.run(t, "stop", "--all", "--force"); err != nil {
		return err
	}
	if diff := m.diff(t); diff != "" {
		return fmt.Errorf("the host is not as before:\n%s", diff)
	}
	return nil
}

// collect runs gc until each VM is looked after, twice at most.
func (m *machine) collect(t *testing.T) error {
	t.Helper()
	for again := false; ; again = true {
		if err := m.settle(t); err != nil {
			return err
		}
		if _, err := m.run(t, "gc"); err != nil {
			return err
		}
		// A supervisor that gc has put on a VM whose QEMU was just ending cleans up
		// by itself.
		if err := m.settle(t); err != nil {
			return err
		}
		vms, err := m.list(t)
		if err != nil {
			return err
		}
		err = unmanaged(vms)
		if err == nil || again || len(vms) < 2 {
			return err
		}
	}
}

// unmanaged is an error about a VM that nobody looks after.
func unmanaged(vms []vm) error {
	for _, v := range vms {
		// The record of a VM that failed tells why until somebody removes it.
		if !managed(v) && v.State != "failed" {
			return fmt.Errorf("after gc: %+v", v)
		}
	}
	return nil
}

// describe is what there is to know of the host, for a failure.
func (m *machine) describe(t *testing.T) string {
	t.Helper()
	return m.Host.Run(t, "sh", "-c", `
		kvmrun list -a
		ps -eo pid,ppid,args
		cd /run/kvmrun && find . -ls
		for log in vms/*/supervisor.log vms/*/qemu.log; do
			[ -s "$log" ] || continue
			echo "--- $log"; tail -n 20 "$log"
		done`).String()
}

// failure is the message about a point that went wrong.
func (s sweep) failure(at int, o outcome) string {
	return fmt.Sprintf("%s, %s killed at the entry of its call %d\n  %s\nrepeat it by: make torture POINT=%s/%d\n%v",
		s.scenario.name, s.cut.name, at, o.call, s.title(), at, o.err)
}
