package e2e

import (
	"fmt"
	"io"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"kvmrun/tests/lab"
)

// figures is a VM as kvmrun stats --json shows it.
type figures struct {
	Name       string
	State      string
	Supervised bool
	Time       time.Time
	Memory     uint64 `json:"memory_bytes"`
	QEMU       *costs
	Supervisor *costs
	Balloon    uint64 `json:"balloon_bytes"`
	Guest      *struct {
		Total     uint64 `json:"total_bytes"`
		Available uint64 `json:"available_bytes"`
	} `json:"guest_memory"`
	Disks []struct {
		Disk, Image  string
		ReadBytes    uint64 `json:"read_bytes"`
		WrittenBytes uint64 `json:"written_bytes"`
		Flushes      uint64
	}
	Network *struct {
		Tap      string
		Received uint64 `json:"received_bytes"`
		Sent     uint64 `json:"sent_bytes"`
	}
	Unknown []struct{ Part, Error string }
	Rates   *struct {
		Seconds float64
		CPU     *float64 `json:"cpu_percent"`
	}
}

type costs struct {
	PID     int
	CPU     float64 `json:"cpu_seconds"`
	PSS     uint64  `json:"pss_bytes"`
	Private uint64  `json:"private_bytes"`
}

// stats is kvmrun stats of one VM.
func (h *host) stats(t *testing.T, name string) figures {
	t.Helper()
	var all []figures
	decode(t, h.must(t, "stats", name, "--json"), &all)
	if len(all) != 1 || all[0].Name != name {
		t.Fatalf("not one VM %s: %+v", name, all)
	}
	return all[0]
}

// TestStats has a guest receive, write, take memory and compute, each by a known
// amount, and looks whether that is counted where it belongs.
func TestStats(t *testing.T) {
	t.Parallel()
	h := newHost(t)
	disk := lab.BlankDisk(t, "raw")
	v := h.startNet(t, append(append([]string{disk, "--name", "web"}, boot(t)...), "--", "-device", "virtio-balloon-pci,id=balloon9")...)
	v.sh(t, "insmod /modules/virtio_balloon.ko")
	before := h.stats(t, "web")
	for what, p := range map[string]*costs{"QEMU": before.QEMU, "supervisor": before.Supervisor} {
		if p == nil || p.CPU == 0 || p.Private == 0 || p.PSS == 0 {
			t.Fatalf("%s costs %+v", what, p)
		}
	}
	if s := before.Supervisor.PSS; s > 50<<20 || before.QEMU.PSS < 32<<20 || before.QEMU.PID != v.PID {
		t.Errorf("PSS of the supervisor %d; QEMU %+v", s, before.QEMU)
	}
	if before.Memory != 128<<20 || before.Balloon != before.Memory || len(before.Unknown) > 0 || len(before.Disks) != 1 || before.Network == nil || before.Network.Tap != v.Tap {
		t.Fatalf("at first: %+v", before)
	}

	const sent, written, taken = 600_000, 512 << 10, 30 << 20
	v.receive(t, sent)
	v.guestHas(t, "dd if=/dev/zero of=/dev/vda bs=4k count=128 conv=fsync && echo done", "done\n")
	v.guestHas(t, "dd if=/dev/zero of=/tmp/taken bs=1M count=30 && echo done", "done\n")
	h.qomSet(t, "web", "guest-stats-polling-interval", 3600) // as a look leaves it that is killed
	after := h.stats(t, "web")
	if left := h.guestAskedEvery(t, "web"); left != 0 {
		t.Errorf("the guest is asked every %d s from now on", left)
	}
	if received, back := after.Network.Received-before.Network.Received, after.Network.Sent-before.Network.Sent; received < sent || back > sent/2 {
		t.Errorf("the guest was sent %d bytes: %d received, %d sent", sent, received, back)
	}
	was, is := before.Disks[0], after.Disks[0]
	if n := is.WrittenBytes - was.WrittenBytes; n < written || n > 2*written || is.Flushes == was.Flushes || is.Disk != "disk0" || is.Image != disk {
		t.Errorf("the guest wrote %d bytes: before %+v, after %+v", written, was, is)
	}
	if before.Guest == nil || after.Guest == nil {
		t.Fatalf("the guest says nothing: %+v, %+v", before, after)
	}
	if g := after.Guest; g.Total == 0 || g.Total > 128<<20 || g.Available+taken*8/10 > before.Guest.Available {
		t.Errorf("the guest has taken %d bytes: before %+v, after %+v", taken, before.Guest, g)
	}

	idle := slices.Min(h.percents(t, "web"))
	v.background(t, "while :; do :; done")
	lab.Eventually(t, patience, func() error { // others may want the processors, too
		if busy := slices.Max(h.percents(t, "web")); busy < 2*idle+5 {
			return fmt.Errorf("idle it used %.1f %% of a processor, in a loop at most %.1f", idle, busy)
		}
		return nil
	})
	h.qomSet(t, "web", "guest-stats-polling-interval", 7) // somebody else's wish
	metrics := h.must(t, "stats", "--prometheus")
	if left := h.guestAskedEvery(t, "web"); left != 7 {
		t.Errorf("the guest was to be asked every 7 s, and is every %d", left)
	}
	for _, want := range []string{`kvmrun_vm_state{vm="web",state="running"} 1`, `kvmrun_vm_monitor_up{vm="web"} 1`,
		"kvmrun_vms 1", `kvmrun_vm_disk_written_bytes_total{vm="web",disk="disk0"} ` + fmt.Sprint(is.WrittenBytes)} {
		if !strings.Contains(metrics, want+"\n") {
			t.Errorf("no %s in\n%s", want, metrics)
		}
	}
	h.must(t, "stop", "--force", "web")
	h.isAsBefore(t)
}

// balloon is where QEMU has the device that the test gave it.
const balloon = "/machine/peripheral/balloon9"

func (h *host) qomSet(t *testing.T, name, property string, value int) {
	t.Helper()
	h.must(t, "qmp", name, "qom-set", fmt.Sprintf(`{"path": %q, "property": %q, "value": %d}`, balloon, property, value))
}

// guestAskedEvery is how often QEMU asks a VM's guest about its memory, in seconds.
func (h *host) guestAskedEvery(t *testing.T, name string) (seconds int) {
	t.Helper()
	decode(t, h.must(t, "qmp", name, "qom-get", fmt.Sprintf(`{"path": %q, "property": "guest-stats-polling-interval"}`, balloon)), &seconds)
	return seconds
}

// receive has the guest receive some bytes, and waits until it has counted them.
func (v *vm) receive(t *testing.T, bytes int) {
	t.Helper()
	line := strings.Repeat("x", 999) + "\n"
	lab.Eventually(t, patience, func() error {
		answer, err := ask(v.host.LAN, v.IP+":23", "wc -c <<END\n"+strings.Repeat(line, bytes/len(line))+"END\nexit\n")
		if err == nil && strings.TrimSpace(answer) != fmt.Sprint(bytes) {
			err = fmt.Errorf("it has received %q, want %d", answer, bytes)
		}
		return err
	})
}

// percents is how much of a processor a VM used, as a watch of some half seconds shows it.
func (h *host) percents(t *testing.T, name string) (all []float64) {
	t.Helper()
	p := h.Host.Start(t, "kvmrun", "stats", name, "--watch", "--json", "--interval", "500ms")
	p.Stdout.WaitFor(t, `(?s)(.*\n){4}`, patience)
	p.Signal(t, unix.SIGINT)
	r := p.Wait(t, patience)
	if r.ExitCode != 0 || r.Stderr != "" {
		t.Fatalf("a watch that is interrupted: %s", r)
	}
	for i, line := range strings.Split(strings.TrimSpace(r.Stdout), "\n") {
		var f figures
		decode(t, line, &f)
		if i == 0 != (f.Rates == nil) {
			t.Fatalf("look %d has the rates %+v", i, f.Rates)
		}
		if f.Rates != nil {
			all = append(all, *f.Rates.CPU)
		}
	}
	return all
}

// TestStatsOfWhatCannotBeSeen looks at a VM whose monitor is occupied, then at one
// without a supervisor, then at one without a QEMU: what is known is shown.
func TestStatsOfWhatCannotBeSeen(t *testing.T) {
	t.Parallel()
	h := newHost(t)
	if out := h.must(t, "stats", "--prometheus"); !strings.HasSuffix(out, "kvmrun_vms 0\n") {
		t.Errorf("without a VM: %s", out)
	}
	watch := h.Host.Start(t, "kvmrun", "stats", "--watch", "--interval", "200ms")
	h.start(t, frozen(t, "--name", "web")...)
	watch.Stdout.WaitFor(t, `\nweb +\w+ `, patience)
	if f := h.stats(t, "web"); f.Disks == nil || f.Guest != nil || len(f.Unknown) > 0 {
		t.Errorf("without disks and balloon: %+v", f)
	}
	holder := h.holdMonitor(t, "web")
	if f := h.stats(t, "web"); f.Disks != nil || len(f.Unknown) != 1 || f.Unknown[0].Part != "monitor" || f.QEMU.PSS == 0 || f.Network == nil {
		t.Errorf("while its monitor is occupied: %+v", f)
	}
	if out := h.must(t, "stats", "--timeout", "100ms"); !strings.Contains(out, "web: disks and the guest's memory are unknown") || !strings.Contains(out, "one at a time") {
		t.Errorf("no word of why: %s", out)
	}
	if out := h.must(t, "stats", "--prometheus"); !strings.Contains(out, `kvmrun_vm_monitor_up{vm="web"} 0`) || strings.Contains(out, "kvmrun_vm_disk") {
		t.Errorf("metrics: %s", out)
	}
	_ = holder.Close()
	if r := h.run(t, "stats", "web", "nobody", "web"); r.ExitCode != 3 || strings.Count(r.Stdout, "\nweb ") != 1 || !strings.Contains(r.Stderr, "there is no VM nobody") {
		t.Errorf("beside one that is not there: %s", r)
	}
	h.fails(t, 3, "stats", "nobody", "--watch")
	terminal := h.Host.Start(t, "script", "-qfec", "exec kvmrun stats web --watch --interval 200ms", "/dev/null")
	terminal.Stdout.WaitFor(t, `(\x1b\[H\d+-[^\n]+\x1b\[K\r\n(?s:.*)\nweb (?s:.*)\x1b\[J){3}`, patience) // one over another
	if _, err := io.WriteString(terminal.Stdin, "\x03"); err != nil {
		t.Fatal(err)
	}
	if r := terminal.Wait(t, patience); r.ExitCode != 0 {
		t.Errorf("Ctrl-C on a terminal: %s", r)
	}
	h.fails(t, 2, "stats", "--prometheus", "--json")

	named := h.Host.Start(t, "kvmrun", "stats", "web", "--watch", "--interval", "200ms")
	named.Stdout.WaitFor(t, `\nweb +\w+ `, patience)
	h.must(t, "restart", "--force", "web")

	h.kill(t, "KILL", h.inspect(t, "web").Details.Supervisor.PID)
	lab.Eventually(t, patience, func() error { // it holds its lock to its very end
		if f := h.stats(t, "web"); f.Supervised || f.Supervisor != nil || f.QEMU == nil || f.Disks == nil {
			return fmt.Errorf("without a supervisor: %+v", f)
		}
		return nil
	})
	named.Stdout.WaitFor(t, `\nweb +\w+ \(unsupervised\)`, patience)
	h.kill(t, "KILL", h.inspect(t, "web").PID)
	h.awaitState(t, "web", "dead")
	if f := h.stats(t, "web"); f.State != "dead" || f.QEMU != nil || f.Disks != nil || f.Network != nil || len(f.Unknown) > 0 {
		t.Errorf("dead: %+v", f)
	}
	h.must(t, "gc")
	h.must(t, "stop", "--all")
	if r := named.Wait(t, patience); r.ExitCode != 0 || r.Stderr != "" {
		t.Errorf("a watch of what is gone: %s", r)
	}
	watch.Stdout.WaitFor(t, `SUPERVISOR\n\n\d+-[^\n]+\nNAME[^\n]*\n\n\d+-`, patience) // no VM any more
	watch.Signal(t, unix.SIGINT)
	if r := watch.Wait(t, patience); r.ExitCode != 0 {
		t.Errorf("Ctrl-C: %s", r)
	}
	h.isAsBefore(t)
}
