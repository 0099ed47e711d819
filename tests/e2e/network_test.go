package e2e

import (
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"kvmrun/tests/lab"
)

// What marks kvmrun's own in the kernel (docs/networking.md).
const (
	routeProtocol = "82"
	linkGroup     = 0x5254
)

// entry is a route, a neighbour or an address as ip -json prints it.
type entry struct {
	Dst      string   `json:"dst"`
	Dev      string   `json:"dev"`
	Protocol string   `json:"protocol"`
	Scope    string   `json:"scope"`
	Prefsrc  string   `json:"prefsrc"`
	Lladdr   string   `json:"lladdr"`
	State    []string `json:"state"`
	Local    string   `json:"local"`
	Prefix   int      `json:"prefixlen"`
	Label    string   `json:"label"`
}

// link is an interface as ip -json prints it.
type link struct {
	Name      string   `json:"ifname"`
	Alias     string   `json:"ifalias"`
	Group     string   `json:"group"`
	MTU       int      `json:"mtu"`
	Flags     []string `json:"flags"`
	Addresses []entry  `json:"addr_info"`
	LinkInfo  struct {
		Kind string `json:"info_kind"`
		Data struct {
			Type       string `json:"type"`
			Persist    bool   `json:"persist"`
			User       any    `json:"user"`
			MultiQueue bool   `json:"multi_queue"`
		} `json:"info_data"`
	} `json:"linkinfo"`
}

// ip runs ip -json, with numbers in place of names.
func ip[T any](t *testing.T, w *lab.World, args ...string) []T {
	t.Helper()
	var found []T
	text := w.MustRun(t, "ip", append([]string{"-json", "-details", "-N"}, args...)...)
	if strings.TrimSpace(text) != "" {
		decode(t, text, &found)
	}
	return found
}

// sysctl reads a value below /proc/sys/net/ipv4 of the host.
func (h *host) sysctl(t *testing.T, name string) string {
	t.Helper()
	return strings.TrimSpace(h.Host.MustRun(t, "cat", "/proc/sys/net/ipv4/"+name))
}

func TestStartDiskHasWholeNetwork(t *testing.T) {
	t.Parallel()
	h := newHost(t)
	disk := lab.Guest(t).CopyDisk(t)
	r := h.Host.RunWith(t, lab.Run{Dir: filepath.Dir(disk)}, "kvmrun", "start", "disk.qcow2")
	t.Log(r)
	if r.ExitCode != 0 || r.Stdout != "disk 10.254.254.2\n" {
		t.Fatalf("start disk.qcow2 does not print name and address: %s", r)
	}
	if _, err := os.Stat("/dev/kvm"); err != nil && strings.Count(r.Stderr, "TCG") != 1 {
		t.Errorf("that there is no KVM is not said once: %s", r)
	}
	vms := h.list(t)
	if len(vms) != 1 {
		t.Fatalf("%d VMs are listed, want 1", len(vms))
	}
	v := vms[0]
	v.host = h
	checkIdentity(t, v, disk)
	checkTap(t, h, v)
	checkRoutes(t, h, v)
	checkUplink(t, h, v)
	v.reachedFrom(t, h.LAN)
	if q := h.must(t, "list", "-q"); q != "disk\n" {
		t.Errorf("list -q prints %q", q)
	}
	table := h.must(t, "ls")
	for _, want := range []string{"NAME", "disk", "running", v.IP, v.MAC, v.Tap, strconv.Itoa(v.PID), disk} {
		if !strings.Contains(table, want) {
			t.Errorf("the table does not name %s:\n%s", want, table)
		}
	}
	checkInspect(t, h, v)
	if out := v.sh(t, "ping -c 1 -W 5 "+lab.LANAddress); !strings.Contains(out, " 0% packet loss") {
		t.Errorf("the guest does not reach the LAN: %s", out)
	}
	h.must(t, "stop", "disk")
	h.isAsBefore(t)
	if left := h.list(t, "-a"); left == nil || len(left) > 0 {
		t.Errorf("list -a --json after the stop: %+v, want an empty array", left)
	}
}

func checkIdentity(t *testing.T, v vm, disk string) {
	t.Helper()
	want := vm{
		Name: "disk", State: "running", IP: "10.254.254.2", MAC: "52:54:0a:fe:fe:02", Tap: "kr-disk", Image: disk,
		Supervised: true, PID: v.PID, Started: v.Started, UUID: v.UUID, host: v.host,
	}
	if v != want {
		t.Errorf("listed as %+v\nwant %+v", v, want)
	}
	if v.PID == 0 || v.Started.IsZero() || len(v.UUID) != 36 {
		t.Errorf("pid %d, started %v, uuid %q", v.PID, v.Started, v.UUID)
	}
	if exe := v.host.sh(t, "readlink /proc/"+strconv.Itoa(v.PID)+"/exe"); !strings.Contains(exe, "qemu-system-x86_64") {
		t.Errorf("the pid is that of %s", exe)
	}
}

func checkTap(t *testing.T, h *host, v vm) {
	t.Helper()
	links := ip[link](t, h.Host, "address", "show", "dev", v.Tap)
	tap := links[0]
	if tap.Alias != "kvmrun "+v.Name+" "+v.UUID || tap.Group != strconv.Itoa(linkGroup) {
		t.Errorf("the tap does not tell its owner: alias %q, group %s", tap.Alias, tap.Group)
	}
	if tap.LinkInfo.Data.Type != "tap" || tap.LinkInfo.Data.Persist || !slices.Contains(tap.Flags, "UP") || tap.MTU != 1500 {
		t.Errorf("the tap is %+v", tap)
	}
	if len(tap.Addresses) != 1 || tap.Addresses[0].Local != "10.254.254.1" || tap.Addresses[0].Prefix != 32 {
		t.Errorf("the tap's addresses are %+v, want the gateway's alone", tap.Addresses)
	}
	for name, want := range map[string]string{
		"conf/" + v.Tap + "/forwarding":   "1",
		"conf/" + v.Tap + "/proxy_arp":    "1",
		"conf/" + v.Tap + "/rp_filter":    "1",
		"neigh/" + v.Tap + "/proxy_delay": "0",
		"conf/eth0/forwarding":            "1",
		"conf/eth0/proxy_arp":             "0",
		"neigh/eth0/proxy_delay":          "0",
		"ip_forward":                      "0",
	} {
		if got := h.sysctl(t, name); got != want {
			t.Errorf("%s is %s, want %s", name, got, want)
		}
	}
}

func checkRoutes(t *testing.T, h *host, v vm) {
	t.Helper()
	routes := ip[entry](t, h.Host, "route", "show", v.IP)
	if len(routes) != 1 || routes[0].Dst != v.IP || routes[0].Dev != v.Tap || routes[0].Protocol != routeProtocol {
		t.Errorf("routes to %s: %+v", v.IP, routes)
	}
	neighbours := ip[entry](t, h.Host, "neigh", "show", "dev", v.Tap)
	if len(neighbours) != 1 || neighbours[0].Dst != v.IP || neighbours[0].Lladdr != v.MAC ||
		!slices.Equal(neighbours[0].State, []string{"PERMANENT"}) {
		t.Errorf("neighbours on %s: %+v", v.Tap, neighbours)
	}
	proxies := ip[entry](t, h.Host, "neigh", "show", "proxy")
	if len(proxies) != 1 || proxies[0].Dst != v.IP || proxies[0].Dev != "eth0" {
		t.Errorf("proxy entries: %+v", proxies)
	}
}

// checkUplink finds the gateway alias beside the host's own address.
func checkUplink(t *testing.T, h *host, _ vm) {
	t.Helper()
	uplink := ip[link](t, h.Host, "-4", "address", "show", "dev", "eth0")[0]
	var labels []string
	for _, a := range uplink.Addresses {
		labels = append(labels, a.Label+" "+a.Local+"/"+strconv.Itoa(a.Prefix))
	}
	slices.Sort(labels)
	if want := []string{"eth0 192.0.2.10/24", "eth0:0 10.254.254.1/32"}; !slices.Equal(labels, want) {
		t.Errorf("addresses of the uplink: %q, want %q", labels, want)
	}
}

func checkInspect(t *testing.T, h *host, v vm) {
	t.Helper()
	d := h.inspect(t, v.Name)
	listed := d.vm
	if listed.Started = v.Started; listed.UUID != v.UUID || listed.IP != v.IP || listed.PID != v.PID {
		t.Errorf("inspect shows %+v, list %+v", listed, v)
	}
	actual := h.sh(t, "tr '\\0' '\\n' </proc/"+strconv.Itoa(v.PID)+"/cmdline")
	for _, arg := range d.Command[1:] {
		if !strings.Contains("\n"+actual, "\n"+arg+"\n") {
			t.Errorf("inspect's command has %q, the running QEMU has not:\n%s", arg, actual)
		}
	}
	for _, arg := range []string{"-nodefaults", "-no-user-config", "-sandbox"} {
		if !slices.Contains(d.Command, arg) {
			t.Errorf("QEMU runs without %s", arg)
		}
	}
	for what, path := range d.Files {
		if out := h.Host.Run(t, "test", "-e", path); out.ExitCode != 0 {
			t.Errorf("inspect names %s for %s, which is not there", path, what)
		}
	}
}
