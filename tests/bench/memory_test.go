package bench

import (
	"fmt"
	"os"
	"strings"
	"testing"
	"time"
)

// settling is how long after a start a supervisor's memory is looked at: it
// has answered DHCP by then and given back what starting took.
const settling = 8 * time.Second

// measureMemory looks at the supervisors of guests that have taken their
// addresses.
func measureMemory(b *testing.B) []row {
	h := newHost(b)
	n := 3
	if *count > 0 {
		n = *count
	}
	var found samples
	for i := range n {
		h.start(b, booting(b, "", "--name", fmt.Sprintf("vm%d", i), "--wait", "net")...)
	}
	time.Sleep(settling) // what is measured is the state after that time
	for i := range n {
		var details struct {
			Details struct{ Supervisor struct{ PID int } }
		}
		decode(b, h.MustRun(b, "kvmrun", "inspect", fmt.Sprintf("vm%d", i)), &details)
		found = append(found, h.privateMemory(b, details.Details.Supervisor.PID))
	}
	return []row{{
		what: "supervisor's private memory", unit: megabytes,
		kvmrun: found, goal: below(10e6, megabytes),
	}}
}

// privateMemory is what a process would free by its end, in bytes
// (Documentation/filesystems/proc.rst, smaps_rollup).
func (h *host) privateMemory(b *testing.B, pid int) float64 {
	text, err := os.ReadFile(h.File(fmt.Sprintf("/proc/%d/smaps_rollup", pid)))
	if err != nil {
		b.Fatal(err)
	}
	var total float64
	for line := range strings.Lines(string(text)) {
		var kib float64
		for _, format := range []string{"Private_Clean: %f kB", "Private_Dirty: %f kB"} {
			if n, _ := fmt.Sscanf(line, format, &kib); n == 1 {
				total += kib * 1024
			}
		}
	}
	if total == 0 {
		b.Fatalf("process %d has no private memory:\n%s", pid, text)
	}
	return total
}
