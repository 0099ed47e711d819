package main

import (
	"slices"
	"strings"
	"testing"
	"time"

	"kvmrun/launcher/stats"
)

func TestStatsTable(t *testing.T) {
	total, available, percent, many := uint64(96<<20), uint64(16<<20), 99.96, 1536.
	balloon := uint64(100 << 20)
	full := stats.VM{
		Name: "web", State: "running", Memory: 128 << 20,
		QEMU:       &stats.Process{CPU: 3661.4, Memory: &stats.Memory{PSS: 200 << 20}},
		Supervisor: &stats.Process{CPU: .05, Memory: &stats.Memory{PSS: 8 << 20}},
		Guest:      &stats.GuestMemory{Measured: time.Unix(1, 0), Total: &total, Available: &available},
		Disks:      []stats.Disk{{ReadBytes: 1024, WrittenBytes: 1}, {ReadBytes: 512}},
		Network:    &stats.Network{ReceivedBytes: 5 << 20, SentBytes: 0},
		Rates:      &stats.Rates{CPU: &percent, Read: &many, Received: &many},
		Supervised: true, Balloon: &balloon,
	}
	busy := stats.VM{Name: "db", State: "paused", Memory: 1 << 30, QEMU: &stats.Process{CPU: 1},
		Unknown: []stats.Unknown{{Part: stats.PartMonitor, Error: "no reply\x1b[2J"}}}
	dead := stats.VM{Name: "old", State: "dead"}
	for name, c := range map[string]struct {
		rates bool
		want  string
	}{
		"so far": {false, `NAME STATE CPU MEMORY OF GUEST USES READ WRITTEN RECEIVED SENT SUPERVISOR
web running 1h1m1s 200 MiB 100 MiB 80 MiB 1.5 KiB 1 B 5.0 MiB 0 B 0.05s, 8.0 MiB
db paused (unsupervised) 1.00s - 1.0 GiB - - - - - -
old dead - - 0 B - - - - - -

db: disks and the guest's memory are unknown: no reply\x1b[2J
`},
		"rates": {true, `NAME STATE CPU MEMORY OF GUEST USES READ/s WRITTEN/s RECEIVED/s SENT/s SUPERVISOR
web running 100.0% 200 MiB 100 MiB 80 MiB 1.5 KiB - 1.5 KiB - -, 8.0 MiB
db paused (unsupervised) - - 1.0 GiB - - - - - -
old dead - - 0 B - - - - - -

db: disks and the guest's memory are unknown: no reply\x1b[2J
`},
	} {
		var got strings.Builder
		for line := range strings.Lines(string(statsTable([]stats.VM{full, busy, dead}, c.rates))) {
			got.WriteString(strings.Join(strings.Fields(line), " ") + "\n")
		}
		if got.String() != c.want {
			t.Errorf("%s:\n%s\nwant\n%s", name, got.String(), c.want)
		}
	}
}

func TestFitIntoTerminal(t *testing.T) {
	text := []string{"ännchen", "b", "c", "d"}
	for name, c := range map[string]struct {
		width, height int
		want          []string
	}{
		"all":        {80, 5, text},
		"narrow":     {3, 5, []string{"änn", "b", "c", "d"}},
		"low":        {80, 4, []string{"ännchen", "b", "… 2 lines more"}},
		"no size":    {0, 0, text},
		"next to no": {80, 1, text},
	} {
		if got := fit(slices.Clone(text), c.width, c.height); !slices.Equal(got, c.want) {
			t.Errorf("%s: %q, want %q", name, got, c.want)
		}
	}
}
