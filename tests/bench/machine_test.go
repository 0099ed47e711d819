package bench

import (
	"fmt"
	"os"
	"runtime"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"kvmrun/tests/lab"
)

// describeMachine says in Markdown on what the numbers were measured.
func describeMachine(b *testing.B) string {
	host := newHost(b)
	plan := host.plan(b, frozen(b)...)
	version, _, _ := strings.Cut(host.MustRun(b, plan.Command[0], "--version"), "\n")
	load, err := os.ReadFile("/proc/loadavg")
	if err != nil {
		b.Fatal(err)
	}
	return fmt.Sprintf("%s; %d × %s; Linux %s; %s; accelerator %s; %s; load average before: %s.\n",
		time.Now().UTC().Format("2006-01-02"), runtime.NumCPU(), processor(), kernel(b), version,
		plan.Spec.Accel, strings.TrimSpace(host.MustRun(b, "kvmrun", "version")),
		strings.Join(strings.Fields(string(load))[:2], " "))
}

// processor is the first processor's model.
func processor() string {
	text, _ := os.ReadFile("/proc/cpuinfo")
	for line := range strings.Lines(string(text)) {
		if key, value, ok := strings.Cut(line, ":"); ok && strings.TrimSpace(key) == "model name" {
			return strings.TrimSpace(value)
		}
	}
	return runtime.GOARCH + " processor"
}

func kernel(b *testing.B) string {
	var name unix.Utsname
	if err := unix.Uname(&name); err != nil {
		b.Fatal(err)
	}
	return unix.ByteSliceToString(name.Release[:])
}

// host is a lab's host.
type host struct {
	*lab.World
	lan *lab.World
}

func newHost(b *testing.B, options ...lab.Option) *host {
	l := lab.New(b, options...)
	lab.Binary(b) // before anything is timed
	return &host{World: l.Host, lan: l.LAN}
}
