package launcher

import (
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"kvmrun/launcher/vmdir"
	"kvmrun/netplumb"
	"kvmrun/netplumb/explain"
)

func TestJudgeVM(t *testing.T) {
	plan := State{Plan: &netplumb.Plan{}}
	for name, c := range map[string]struct {
		vm     Details
		status explain.Status
		words  string
	}{
		"runs":         {Details{VM: VM{State: Running, Supervised: true}}, explain.OK, "runs"},
		"unsupervised": {Details{VM: VM{State: Running}}, explain.Warn, "nobody supervises"},
		"paused":       {Details{VM: VM{Name: "web", State: Paused}}, explain.Fail, "kvmrun resume web"},
		"full":         {Details{VM: VM{State: Paused, Reason: "no space left"}}, explain.Fail, "no space left"},
		"starting":     {Details{VM: VM{State: Starting}, Details: plan}, explain.Warn, "only starting"},
		"no plan yet":  {Details{VM: VM{State: Starting}}, explain.Fail, "not made yet"},
		"stopping":     {Details{VM: VM{State: Stopping}}, explain.Fail, "shutting down"},
		"dead":         {Details{VM: VM{Name: "web", State: Dead, Reason: "gone"}}, explain.Fail, "kvmrun stop web"},
		"failed":       {Details{VM: VM{Name: "web", State: Failed, Reason: "signal: killed"}}, explain.Fail, "signal: killed"},
	} {
		if h := judgeVM(c.vm); h.Name != HopVM || h.Status != c.status || !strings.Contains(h.Seen+h.Remedy, c.words) {
			t.Errorf("%s: %+v", name, h)
		}
	}
}

func TestKnownConflictIsNamed(t *testing.T) {
	vm := VM{Conflict: &Conflict{MAC: "de:7b:e0:f2:9e:ee", Since: time.Date(2026, 11, 24, 12, 0, 0, 0, time.UTC)}}
	for was, want := range map[explain.Status]explain.Status{explain.OK: explain.Warn, explain.Unknown: explain.Warn, explain.Fail: explain.Fail} {
		e := Explanation{Hops: []explain.Hop{{Name: explain.HopUplink, Status: explain.OK}, {Name: explain.HopRival, Status: was, Seen: "x"}}}
		addConflict(&e, vm)
		if h := e.Hops[1]; h.Status != want || !strings.Contains(h.Seen, "de:7b:e0:f2:9e:ee claims it, too, since 2026-11-24T12:00:00Z") || e.Hops[0].Status != explain.OK {
			t.Errorf("%s: %+v", was, e.Hops)
		}
	}
}

func TestGuestHistory(t *testing.T) {
	reached := VM{Reachable: time.Date(2026, 11, 24, 12, 0, 0, 0, time.UTC)}
	for name, c := range map[string]struct {
		vm    Details
		event string
		words []string
	}{
		"nothing":  {Details{VM: VM{Started: time.Now()}}, "", []string{"has not asked for it by DHCP in the 0s", "never answered"}},
		"told":     {Details{VM: reached}, "dhcp-acknowledged", []string{"was told it by DHCP", "first answered at 2026-11-24T12:00:00Z"}},
		"refused":  {Details{}, "dhcp-refused", []string{"which was refused"}},
		"offered":  {Details{}, "dhcp-offered", []string{"did not take it"}},
		"declined": {Details{}, "dhcp-declined", []string{"another's"}},
		"released": {Details{}, "dhcp-released", []string{"gave it back"}},
		"another":  {Details{}, "dhcp-informed", []string{"dhcp-informed"}},
		"off":      {Details{Spec: Spec{Network: Network{DHCP: DHCPOff}}}, "", []string{"--dhcp off"}},
		"dnsmasq":  {Details{Spec: Spec{Network: Network{DHCP: DHCPDnsmasq}}}, "", []string{"dnsmasq"}},
	} {
		text := strings.Join(guestHistory(c.vm, c.event), ", ")
		for _, words := range c.words {
			if !strings.Contains(text, words) {
				t.Errorf("%s: %q lacks %q", name, text, words)
			}
		}
	}
}

func TestLastDHCP(t *testing.T) {
	root, err := vmdir.Open(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	dir := root.Dir("web")
	if got := lastDHCP(dir); got != "" {
		t.Errorf("without events: %q", got)
	}
	if err := os.MkdirAll(dir.Path, 0o700); err != nil {
		t.Fatal(err)
	}
	text := `{"event":"dhcp-offered"}` + "\nhalf a li\n" + `{"event":"dhcp-acknowledged"}` + "\n" + `{"event":"reachable"}` + "\n" + `{"eve`
	if err := os.WriteFile(dir.File(vmdir.EventsFile), []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	if got := lastDHCP(dir); got != "dhcp-acknowledged" {
		t.Errorf("the last is %q", got)
	}
}

func TestCableEnds(t *testing.T) {
	const netdev = "nic0: index=0,type=nic,model=virtio-net-pci,macaddr=52:54:0a:fe:fe:02\r\n \\ net0: index=0,type=tap,fd=5\r\n"
	const classic = "hub 0\r\n \\ hub0port1: #net058: index=0,type=tap,fd=5\r\n \\ hub0port0: e1000.0: index=0,type=nic,model=e1000,macaddr=52:54:0A:FE:FE:02\r\n"
	for text, want := range map[string][]string{
		netdev: {"nic0", "net0"}, classic: {"#net058", "e1000.0"}, "": nil, "nic0: index=0,type=nic,macaddr=52:54:0a:fe:fe:03\r\n": nil,
		"a';b: index=0,type=tap,fd=5\r\n": nil,
	} {
		if got := endsNamed(text, "52:54:0a:fe:fe:02"); !slices.Equal(got, want) {
			t.Errorf("%q: %q, want %q", text, got, want)
		}
	}
}
