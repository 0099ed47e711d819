package hostcheck

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"kvmrun/netplumb/internal/nstest"
)

// sysctls of a real namespace, what the checks say of them, and whether their
// own remedies are enough.
func TestSysctlChecksAndTheirRemedies(t *testing.T) {
	for name, c := range map[string]struct {
		set                    string
		uplink, tap, proxy     Status
		uplinkSeen, remedySeen string
	}{
		"all off":           {"", OK, OK, OK, "", ""},
		"all strict":        {"all/rp_filter=1", Warn, OK, OK, "(all 1, eth0.5 0", "conf/eth0.5/rp_filter=2"},
		"uplink strict":     {"eth0.5/rp_filter=1", Warn, OK, OK, "(all 0, eth0.5 1", ""},
		"both strict":       {"all/rp_filter=1 eth0.5/rp_filter=1", Warn, OK, OK, "", ""},
		"uplink loose":      {"all/rp_filter=1 eth0.5/rp_filter=2", OK, OK, OK, "", ""},
		"all loose":         {"all/rp_filter=2", OK, Warn, OK, "", ""},
		"all loose, strict": {"all/rp_filter=2 eth0.5/rp_filter=1", OK, Warn, OK, "", ""},
		"proxy ARP for all": {"all/proxy_arp=1", OK, OK, Warn, "", ""},
		"proxy ARP, uplink": {"eth0.5/proxy_arp=1", OK, OK, OK, "", ""},
	} {
		t.Run(name, func(t *testing.T) {
			ns := nstest.New(t)
			h := Host{Uplink: "eth0.5", TapPrefix: "kvm"}
			ns.Shell(t, "ip link add eth0.5 type veth peer name peer; sysctl -qw net/ipv4/conf/all/rp_filter=0 net/ipv4/conf/eth0.5/rp_filter=0 net/ipv4/conf/all/proxy_arp=0")
			for _, setting := range strings.Fields(c.set) {
				ns.Shell(t, "sysctl -qw net/ipv4/conf/"+setting)
			}
			var uplink, tap, proxy Result
			check := func() { uplink, tap, proxy = h.UplinkReversePath(), h.TapReversePath(), h.ProxyARP() }
			ns.Do(check)
			if uplink.Status != c.uplink || tap.Status != c.tap || proxy.Status != c.proxy {
				t.Errorf("uplink %+v\ntap %+v\nproxy %+v\nwant %+v", uplink, tap, proxy, c)
			}
			if !strings.Contains(uplink.Seen, c.uplinkSeen) || !strings.Contains(uplink.Remedy, c.remedySeen) {
				t.Errorf("uplink %+v, want %q and %q in it", uplink, c.uplinkSeen, c.remedySeen)
			}
			ns.Shell(t, strings.Join([]string{uplink.Remedy, tap.Remedy, proxy.Remedy}, "\n"))
			ns.Do(check)
			for _, r := range []Result{uplink, tap, proxy} {
				if r.Status != OK {
					t.Errorf("after all remedies: %+v", r)
				}
			}
		})
	}
}

func TestSysctlsThatCannotBeRead(t *testing.T) {
	root := t.TempDir()
	h := Host{Root: root, Uplink: "eth0"}
	if r := h.UplinkReversePath(); r.Status != Warn || !strings.Contains(r.Seen, root) {
		t.Errorf("without /proc: %+v", r)
	}
	file(t, root, "proc/sys/net/ipv4/conf/all/proxy_arp", "yes\n")
	if r := h.ProxyARP(); r.Status != Warn || !strings.Contains(r.Seen, `"yes", not a number`) {
		t.Errorf("with a word for a number: %+v", r)
	}
	h.Uplink = ""
	if r := h.UplinkReversePath(); r.Status != OK {
		t.Errorf("without an uplink: %+v", r)
	}
}

func TestDevicesThatAreNone(t *testing.T) {
	empty, files := t.TempDir(), t.TempDir()
	file(t, files, "dev/net/tun", "")
	file(t, files, "dev/vhost-net", "")
	for name, c := range map[string]struct {
		result       Result
		status       Status
		seen, remedy string
	}{
		"no tun":         {Host{Root: empty}.Tun(), Fail, "/dev/net/tun is missing", "modprobe tun"},
		"tun is a file":  {Host{Root: files}.Tun(), Fail, "inappropriate ioctl", "modprobe tun"},
		"no vhost":       {Host{Root: empty}.VhostNet(), Warn, "/dev/vhost-net is missing", "modprobe vhost_net"},
		"vhost is there": {Host{Root: files}.VhostNet(), OK, "usable", ""},
	} {
		if r := c.result; r.Status != c.status || !strings.Contains(r.Seen, c.seen) || r.Remedy != c.remedy {
			t.Errorf("%s: %+v", name, r)
		}
	}
}

func TestTunOfThisMachine(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("skipped: opening /dev/net/tun may need root")
	}
	if _, err := os.Stat("/dev/net/tun"); err != nil {
		t.Skipf("skipped: this machine has no tun device: %v", err)
	}
	if r := (Host{}).Tun(); r.Status != OK {
		t.Errorf("%+v", r)
	}
}

func file(t *testing.T, root, path, content string) {
	t.Helper()
	path = filepath.Join(root, path)
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(content), 0o644); err != nil {
		t.Fatal(err)
	}
}

func TestJudgeNeighbours(t *testing.T) {
	for _, c := range []struct {
		table neighbourTable
		want  Status
	}{
		{neighbourTable{entries: 0, limit: 1024}, OK},
		{neighbourTable{entries: 819, limit: 1024}, OK},
		{neighbourTable{entries: 820, limit: 1024}, Warn},
		{neighbourTable{entries: 1023, limit: 1024}, Warn},
		{neighbourTable{entries: 1024, limit: 1024}, Fail},
		{neighbourTable{entries: 2000, permanent: 1500, limit: 1024}, OK},
		{neighbourTable{entries: 10, permanent: 20, limit: 1024}, OK},
	} {
		r := judgeNeighbours(c.table)
		if r.Status != c.want || (r.Remedy == "") != (c.want == OK) {
			t.Errorf("%+v: %+v, want %s", c.table, r, c.want)
		}
	}
}

// TestNeighboursOfThisKernel adds entries in a namespace and sees them counted,
// although the table is one for all namespaces and its limit shows in none but
// the first.
func TestNeighboursOfThisKernel(t *testing.T) {
	ns := nstest.New(t)
	ns.Shell(t, "ip link add tap0 type veth peer name peer; ip link set tap0 up")
	read := func() (table neighbourTable) {
		ns.Do(func() {
			var err error
			if table, err = readNeighbourTable(); err != nil {
				t.Error(err)
			}
		})
		return table
	}
	before := read()
	if before.limit < 1 {
		t.Fatalf("%+v has no limit", before)
	}
	var script strings.Builder
	for i := range 50 {
		fmt.Fprintf(&script, "neigh add 10.254.254.%d lladdr 52:54:00:00:00:01 dev tap0 nud permanent\n", i+2)
	}
	root := t.TempDir()
	file(t, root, "batch", script.String())
	ns.Shell(t, "ip -batch "+filepath.Join(root, "batch"))
	if after := read(); after.entries < before.entries+40 {
		t.Errorf("%+v after adding 50 entries to %+v", after, before)
	}
	var nearly neighbourTable
	ns.Do(func() {
		var err error
		if nearly, err = countPermanent(neighbourTable{entries: 50, limit: 50}); err != nil {
			t.Error(err)
		}
	})
	if nearly.permanent != 50 {
		t.Errorf("%d permanent entries counted, want 50", nearly.permanent)
	}
}

func TestCheckIsComplete(t *testing.T) {
	ns := nstest.New(t)
	ns.Shell(t, "ip link add eth0 type veth peer name peer")
	var results []Result
	ns.Do(func() { results = host.Check() })
	names := map[string]bool{}
	for _, r := range results {
		if r.Name == "" || names[r.Name] || r.Seen == "" || strings.Contains(r.Seen, "could not be checked") {
			t.Errorf("%+v", r)
		}
		names[r.Name] = true
	}
	if len(names) != 8 {
		t.Errorf("%d checks, want 8", len(names))
	}
}

func TestResultAsJSON(t *testing.T) {
	got, err := json.Marshal([]Result{ok("tun", "fine"), fail("forward", "x", "no")})
	want := `[{"name":"tun","status":"ok","seen":"fine"},{"name":"forward","status":"fail","seen":"no","remedy":"x"}]`
	if err != nil || string(got) != want {
		t.Errorf("%s, %v; want %s", got, err, want)
	}
}
