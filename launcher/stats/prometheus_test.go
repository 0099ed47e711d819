package stats

import (
	"bytes"
	"errors"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"
	"unicode/utf8"
)

func exposition(t *testing.T, vms ...VM) string {
	t.Helper()
	var b bytes.Buffer
	if err := WritePrometheus(&b, vms); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

// label is a label's name and value: any text, of which three characters are escaped.
const label = `[a-z_][a-z0-9_]*="(?:[^"\\\n]|\\["\\n])*"`

// The lines of the text format (prometheus.io/docs/instrumenting/exposition_formats).
var (
	helpLine   = regexp.MustCompile(`^# HELP ([a-z_:][a-z0-9_:]*) (\S.*\.)$`)
	typeLine   = regexp.MustCompile(`^# TYPE ([a-z_:][a-z0-9_:]*) (counter|gauge)$`)
	sampleLine = regexp.MustCompile(`^([a-z_:][a-z0-9_:]*)(\{` + label + `(?:,` + label + `)*\})? (-?[0-9]+(?:\.[0-9]+)?)$`)
)

// checkExposition reads the text format by its grammar, without the writer's help, and
// holds it against the naming conventions. It returns the samples by name and labels.
func checkExposition(t *testing.T, text string) map[string]float64 {
	t.Helper()
	if !strings.HasSuffix(text, "\n") || !utf8.ValidString(text) {
		t.Errorf("it does not end with a line's end, or is no UTF-8: %q", text)
	}
	samples, described := map[string]float64{}, map[string]bool{}
	var name, kind string // of the present family
	for _, line := range strings.Split(strings.TrimSuffix(text, "\n"), "\n") {
		if m := helpLine.FindStringSubmatch(line); m != nil {
			if described[m[1]] {
				t.Errorf("described twice: %s", line)
			}
			name, kind = m[1], ""
			described[name] = true
		} else if m := typeLine.FindStringSubmatch(line); m != nil {
			if m[1] != name || kind != "" {
				t.Errorf("out of place: %s", line)
			}
			kind = m[2]
			if (kind == "counter") != strings.HasSuffix(name, "_total") || !strings.HasPrefix(name, "kvmrun_") {
				t.Errorf("against the conventions: %s", line)
			}
		} else if m := sampleLine.FindStringSubmatch(line); m != nil {
			value, err := strconv.ParseFloat(m[3], 64)
			if _, twice := samples[m[1]+m[2]]; err != nil || twice || m[1] != name || kind == "" {
				t.Errorf("no number, there twice or out of place: %q", line)
			}
			samples[m[1]+m[2]] = value
		} else {
			t.Errorf("not in the grammar: %q", line)
		}
	}
	return samples
}

func TestPrometheus(t *testing.T) {
	full := look(10, 100)
	full.State, full.Supervised, full.CPUs, full.Memory = "running", true, 2, 1<<30
	full.Started = time.UnixMilli(1796086666589)
	full.QEMU.Memory = &Memory{PSS: 1 << 53, Private: 2, Swapped: 3}
	full.Disks[1].Name = "a\n\"\\\xff"
	full.Guest = &GuestMemory{Measured: time.Unix(5, 0), Total: p[uint64](1 << 20), Available: p[uint64](1 << 10)}
	dead := VM{Name: "db", State: "dead", CPUs: 1, Memory: 1 << 20}
	got := checkExposition(t, exposition(t, full, dead))
	for sample, want := range map[string]float64{
		`kvmrun_vms`: 2,
		`kvmrun_vm_state{vm="web",state="running"}`:                                1,
		`kvmrun_vm_state{vm="db",state="dead"}`:                                    1,
		`kvmrun_vm_supervised{vm="db"}`:                                            0,
		`kvmrun_vm_monitor_up{vm="web"}`:                                           1,
		`kvmrun_vm_start_time_seconds{vm="web"}`:                                   1796086666.589,
		`kvmrun_vm_cpu_seconds_total{vm="web"}`:                                    100,
		`kvmrun_vm_memory_pss_bytes{vm="web"}`:                                     1 << 53,
		`kvmrun_vm_memory_configured_bytes{vm="db"}`:                               1 << 20,
		`kvmrun_supervisor_cpu_seconds_total{vm="web"}`:                            200,
		`kvmrun_vm_guest_memory_size_bytes{vm="web"}`:                              1 << 20,
		`kvmrun_vm_disk_read_bytes_total{vm="web",disk="disk0"}`:                   100,
		`kvmrun_vm_disk_read_bytes_total{vm="web",disk="a\n\"\\` + "\ufffd" + `"}`: 100,
		`kvmrun_vm_network_receive_bytes_total{vm="web"}`:                          500,
		`kvmrun_vm_network_transmit_bytes_total{vm="web"}`:                         600,
	} {
		if value, ok := got[sample]; !ok || value != want {
			t.Errorf("%s is %v (there: %v), want %v", sample, value, ok, want)
		}
	}
	for sample := range got {
		if strings.Contains(sample, `vm="db"`) && regexp.MustCompile("cpu_seconds|pss|disk|network|guest|monitor|start").MatchString(sample) {
			t.Errorf("a VM that is dead has %s", sample)
		}
		if strings.Contains(sample, "supervisor_memory") || strings.Contains(sample, "guest_memory_free") {
			t.Errorf("what is not known has a sample: %s", sample)
		}
	}
	if got := checkExposition(t, exposition(t)); len(got) != 1 || got["kvmrun_vms"] != 0 {
		t.Errorf("without VMs: %v", got)
	}
}

// TestPrometheusInOnePiece: a reader who sees anything sees all.
func TestPrometheusInOnePiece(t *testing.T) {
	w := &once{}
	if err := WritePrometheus(w, []VM{look(1, 1), look(1, 2)}); err != nil || w.writes != 1 {
		t.Errorf("%d writes, %v", w.writes, err)
	}
	if err := WritePrometheus(&once{full: true}, nil); !errors.Is(err, errFull) {
		t.Errorf("a full disk: %v", err)
	}
}

var errFull = errors.New("full")

type once struct {
	writes int
	full   bool
}

func (o *once) Write(p []byte) (int, error) {
	o.writes++
	if o.full {
		return 0, errFull
	}
	return len(p), nil
}
