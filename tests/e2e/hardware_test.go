package e2e

import (
	"os"
	"regexp"
	"strconv"
	"strings"
	"testing"
)

// TestCards boots with each card in each of QEMU's two forms.
func TestCards(t *testing.T) {
	t.Parallel()
	for _, model := range []string{"virtio-net-pci", "e1000", "rtl8139"} {
		for _, form := range []string{"net", "netdev"} {
			t.Run(model+" "+form, func(t *testing.T) {
				t.Parallel()
				h := newHost(t)
				v := h.startNet(t, append(bootGeneric(t), "--memory", "256M", "--model", model, "--net-form", form)...)
				v.reachedFrom(t, h.LAN)
				command := " " + strings.Join(h.inspect(t, v.Name).Command, " ") + " "
				if classic := strings.Contains(command, " -net nic,model="+model); classic != (form == "net") {
					t.Errorf("QEMU's command is not in the form %s: %s", form, command)
				}
				h.must(t, "stop", v.Name)
				h.isAsBefore(t)
			})
		}
	}
}

// TestMachines boots on each board, and with more than one processor.
func TestMachines(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		words, flags []string
		processors   string
	}{
		"pc":       {nil, []string{"--machine", "pc"}, "1"},
		"microvm":  {[]string{tscFrequency(t)}, []string{"--machine", "microvm"}, "1"},
		"two CPUs": {nil, []string{"--cpus", "2"}, "2"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			h := newHost(t)
			v := h.startNet(t, append(boot(t, c.words...), c.flags...)...)
			v.reachedFrom(t, h.LAN)
			v.guestHas(t, "grep -c ^processor /proc/cpuinfo", c.processors+"\n")
			// Of 128 MiB the kernel keeps some for itself.
			total, err := strconv.Atoi(strings.TrimSpace(v.sh(t, "grep MemTotal /proc/meminfo | tr -dc 0-9")))
			if err != nil || total < 64<<10 || total > 128<<10 {
				t.Errorf("the guest has %d KiB of memory: %v", total, err)
			}
			h.must(t, "stop", "--force", v.Name)
			h.isAsBefore(t)
		})
	}
}

// tscFrequency is the kernel's word for the clock rate, which microvm's guest
// sometimes fails to measure under TCG and then hangs.
func tscFrequency(t *testing.T) string {
	t.Helper()
	info, err := os.ReadFile("/proc/cpuinfo")
	if err != nil {
		t.Fatal(err)
	}
	mhz := regexp.MustCompile(`cpu MHz\s*: (\d+)\.(\d{3})`).FindSubmatch(info)
	if mhz == nil {
		t.Skip("skipped: /proc/cpuinfo tells no clock rate, which a microvm guest needs under TCG")
	}
	return "tsc_early_khz=" + string(mhz[1]) + string(mhz[2])
}

// TestExtraQEMUArguments appends options to QEMU's.
func TestExtraQEMUArguments(t *testing.T) {
	t.Parallel()
	h := newHost(t)
	v := h.start(t, frozen(t)...)
	if reply := h.must(t, "qmp", v.Name, "query-status"); !strings.Contains(reply, `"running": false`) {
		t.Errorf("QEMU has not seen -S: %s", reply)
	}
	if got := h.inspect(t, v.Name).Command; got[len(got)-1] != "-S" {
		t.Errorf("QEMU's command does not end with -S: %q", got)
	}
	h.must(t, "stop", "--force", v.Name)
	h.isAsBefore(t)
}
