package e2e

import (
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"

	"kvmrun/tests/lab"
)

// event is one line of kvmrun events.
type event struct {
	Time  time.Time
	Event string
	Data  struct{ Step, Was, Want, Have, Why, Uplink, MAC, IP string }
}

// events are the VM's of one kind so far.
func (v *vm) events(t *testing.T, kind string) (found []event) {
	t.Helper()
	for line := range strings.Lines(v.host.Host.MustRun(t, "kvmrun", "events", v.Name)) {
		var e event
		decode(t, line, &e)
		if e.Event == kind {
			found = append(found, e)
		}
	}
	return found
}

// awaitEvent waits for the n-th event of a kind about a step; "" for any.
func (v *vm) awaitEvent(t *testing.T, kind, step string, n int) event {
	t.Helper()
	var found event
	lab.Eventually(t, patience, func() error {
		count := 0
		for _, e := range v.events(t, kind) {
			if step == "" || e.Data.Step == step {
				count++
				found = e
			}
		}
		if count < n {
			return fmt.Errorf("%d events %s about %q, want %d", count, kind, step, n)
		}
		return nil
	})
	return found
}

// repaired is how often a step of the VM's network was.
func (v *vm) repaired(t *testing.T, step string) (n int) {
	t.Helper()
	for _, e := range v.events(t, "repaired") {
		if e.Data.Step == step {
			n++
		}
	}
	return n
}

// TestNetworkIsRepaired has another program spoil one thing after another of a
// guest's network.
func TestNetworkIsRepaired(t *testing.T) {
	t.Parallel()
	h := newHost(t)
	v := h.startNet(t, append(boot(t), "--name", "web")...)
	h.sh(t, "! kvmrun host check | grep kr-web | grep fail")
	for _, c := range []struct{ spoil, step string }{
		{"ip route delete 10.254.254.2", "route to 10.254.254.2 by kr-web"},
		{"ip route replace 10.254.254.2 dev kr-web", "route to 10.254.254.2 by kr-web"},
		{"ip neigh replace 10.254.254.2 lladdr 02:00:00:00:00:01 dev kr-web", "neighbour 10.254.254.2 on kr-web"},
		{"echo 0 >/proc/sys/net/ipv4/conf/kr-web/forwarding", "settings of kr-web"},
		{"ip address delete 10.254.254.1/32 dev kr-web", "address 10.254.254.1 on kr-web"},
		{"ip link set kr-web down", "settings of kr-web"},
		{"ip address delete 10.254.254.1/32 dev eth0", "address 10.254.254.1 on eth0"},
		{"echo 0 >/proc/sys/net/ipv4/conf/eth0/forwarding", "sysctl net.ipv4.conf.eth0.forwarding"},
		// Of these the kernel tells nobody.
		{"ip neigh delete proxy 10.254.254.2 dev eth0", "proxy ARP for 10.254.254.2 on eth0"},
		{"echo 20 >/proc/sys/net/ipv4/neigh/eth0/proxy_delay", "sysctl net.ipv4.neigh.eth0.proxy_delay"},
	} {
		before := v.repaired(t, c.step)
		h.sh(t, c.spoil)
		if e := v.awaitEvent(t, "repaired", c.step, before+1); e.Data.Was == "" {
			t.Errorf("%s: the event does not tell how it was: %+v", c.spoil, e)
		}
		v.reachedFrom(t, h.LAN)
	}
	lab.Eventually(t, patience, func() error {
		if r := h.Host.Run(t, "sh", "-c", "kvmrun host check | grep kr-web | grep fail"); r.ExitCode == 0 {
			return fmt.Errorf("not all is repaired: %s", r.Stdout)
		}
		return nil
	})
	if failed := v.events(t, "not-repaired"); len(failed) > 0 {
		t.Errorf("not all could be repaired: %+v", failed)
	}
	h.must(t, "stop", v.Name)
	if got := h.sysctl(t, "neigh/eth0/proxy_delay"); got != "20" {
		t.Errorf("proxy_delay is %s, want the 20 that somebody set", got)
	}
	h.sh(t, "echo 80 >/proc/sys/net/ipv4/neigh/eth0/proxy_delay")
	h.isAsBefore(t)
}

// TestAdoptionRepairs what was spoilt while nobody looked after the VM.
func TestAdoptionRepairs(t *testing.T) {
	t.Parallel()
	h := newHost(t)
	v := h.start(t, frozen(t, "--name", "web")...)
	h.killSupervisor(t, v.Name)
	h.sh(t, "ip route delete 10.254.254.2; ip neigh delete proxy 10.254.254.2 dev eth0")
	h.must(t, "adopt", v.Name)
	v.awaitEvent(t, "repaired", "route to 10.254.254.2 by kr-web", 1)
	v.awaitEvent(t, "repaired", "proxy ARP for 10.254.254.2 on eth0", 1)
	h.must(t, "stop", "--force", v.Name)
	h.isAsBefore(t)
}

// TestNoRepair leaves all as others made it.
func TestNoRepair(t *testing.T) {
	t.Parallel()
	h := newHost(t)
	v := h.start(t, frozen(t, "--no-repair", "--name", "web")...)
	const route, proxy = "route to 10.254.254.2 by kr-web", "proxy ARP for 10.254.254.2 on eth0"
	h.sh(t, "ip route delete 10.254.254.2; ip neigh delete proxy 10.254.254.2 dev eth0")
	if e := v.awaitEvent(t, "disturbed", route, 1); e.Data.Have != "absent" || e.Data.Want == "" {
		t.Errorf("the event does not tell what is disturbed: %+v", e)
	}
	v.awaitEvent(t, "disturbed", proxy, 1)
	if left := h.sh(t, "ip route show proto 82; ip neigh show proxy"); left != "" {
		t.Errorf("it was repaired: %s", left)
	}
	if n := len(v.events(t, "disturbed")); n != 2 {
		t.Errorf("%d events tell of two things", n)
	}
	h.must(t, "stop", "--force", v.Name)
	h.isAsBefore(t)
}

// TestNoRepairFollowsUplink: the address is announced anew though nothing is
// repaired, and another card is told of and left alone.
func TestNoRepairFollowsUplink(t *testing.T) {
	t.Parallel()
	h := newHost(t, lab.NoGuestRoute(), lab.LANPeers(1))
	const address = "192.0.2.77"
	v := h.start(t, frozen(t, "--no-repair", "--name", "web", "--ip", address)...)
	last := 9
	lab.Eventually(t, patience, func() error {
		// The supervisor may not yet watch the uplink when start returns.
		last++
		h.sh(t, fmt.Sprintf("ip link set eth0 address 02:00:00:00:00:%d", last%90+10))
		if len(v.events(t, "announced")) == 0 {
			return errors.New("another MAC of the uplink's is not announced")
		}
		return nil
	})
	h.Unplug(t)
	v.awaitEvent(t, "uplink-gone", "", 1)
	h.PlugIn(t)
	h.sh(t, "ip address add "+lab.HostAddress+"/24 dev eth0; ip link set eth0 up; ip route add default via "+lab.LANAddress)
	v.awaitEvent(t, "uplink-back", "", 1)
	lab.Eventually(t, patience, func() error {
		for _, e := range v.events(t, "disturbed") {
			if e.Data.Step == "uplink eth0" && strings.Contains(e.Data.Have, "interface") && e.Data.Have != e.Data.Want {
				return nil
			}
		}
		return fmt.Errorf("no event tells of another uplink: %+v", v.events(t, "disturbed"))
	})
	if left := h.sh(t, "ip neigh show proxy"); left != "" {
		t.Errorf("it was repaired: %s", left)
	}
	h.must(t, "stop", "--force", v.Name)
	now := h.Host.Snapshot(t)
	for _, section := range []string{"links", "addresses", "routes"} { // with its number and MAC in them
		h.before[section] = now[section]
	}
	h.isAsBefore(t)
}

// TestAnothersRouteIsLeft, and the event says why. When it goes, the guest's
// returns.
func TestAnothersRouteIsLeft(t *testing.T) {
	t.Parallel()
	h := newHost(t)
	v := h.start(t, frozen(t, "--name", "web")...)
	const step = "route to 10.254.254.2 by kr-web"
	h.sh(t, "ip route replace 10.254.254.2 via 192.0.2.1")
	if e := v.awaitEvent(t, "not-repaired", step, 1); e.Data.Have == "" || !strings.Contains(e.Data.Why, "routed elsewhere") {
		t.Errorf("the event does not say why: %+v", e)
	}
	if route := h.sh(t, "ip route show 10.254.254.2"); !strings.Contains(route, "via 192.0.2.1") {
		t.Errorf("it was replaced by %s", route)
	}
	h.sh(t, "ip route delete 10.254.254.2")
	v.awaitEvent(t, "repaired", step, 1)
	h.must(t, "stop", "--force", v.Name)
	h.isAsBefore(t)
}

// TestContestedSetting has a program change a setting back as soon as kvmrun has
// set it. kvmrun gives in for a while, says so once, and costs next to nothing.
func TestContestedSetting(t *testing.T) {
	t.Parallel()
	h := newHost(t)
	v := h.start(t, frozen(t, "--name", "web")...)
	supervisor := h.inspect(t, v.Name).Details.Supervisor.PID
	rival := h.Host.Start(t, "sh", "-c", "while :; do echo 0 >/proc/sys/net/ipv4/conf/kr-web/proxy_arp; sleep 0.01; done")
	const step = "settings of kr-web"
	v.awaitEvent(t, "not-repaired", step, 1)
	spent := h.processorTime(t, supervisor)
	const while = 3 * time.Second
	time.Sleep(while) // to see what it costs by then
	if spent = h.processorTime(t, supervisor) - spent; spent > while/10 {
		t.Errorf("in %v its supervisor used %v of the processor", while, spent)
	}
	// That the rival was quicker within a repair may be told, too.
	contested := 0
	failed := v.events(t, "not-repaired")
	for _, e := range failed {
		if strings.Contains(e.Data.Why, "keeps changing it") {
			contested++
		}
	}
	if repaired := v.repaired(t, step); contested != 1 || len(failed) > 4 || repaired > 4 {
		t.Errorf("%d repairs are told, and the end of it as %+v", repaired, failed)
	}
	rival.Signal(t, os.Kill)
	rival.Wait(t, patience)
	h.must(t, "stop", "--force", v.Name)
	h.isAsBefore(t)
}

// processorTime is what a process has used so far (proc_pid_stat(5)).
func (h *host) processorTime(t *testing.T, pid int) time.Duration {
	t.Helper()
	text, err := os.ReadFile(h.Host.File(fmt.Sprintf("/proc/%d/stat", pid)))
	if err != nil {
		t.Fatal(err)
	}
	// The name, in parentheses, is the second field.
	fields := strings.Fields(string(text)[strings.LastIndexByte(string(text), ')')+1:])
	const ticks = 100 // a second
	used := 0
	for _, field := range fields[11:13] {
		n, err := strconv.Atoi(field)
		if err != nil {
			t.Fatal(err)
		}
		used += n
	}
	return time.Duration(used) * time.Second / ticks
}

// TestUplinkFlaps takes the cable out and puts it back, and then gives the uplink
// another MAC. Each time the LAN has come to know the address at a wrong one,
// and is corrected.
func TestUplinkFlaps(t *testing.T) {
	t.Parallel()
	const address = "192.0.2.77"
	h := newHost(t, lab.NoGuestRoute(), lab.LANPeers(1))
	v := h.startNet(t, append(boot(t), "--name", "web", "--ip", address)...)
	mac := func() string {
		return ip[struct{ Address string }](t, h.Host, "link", "show", "dev", "eth0")[0].Address
	}
	first := mac()
	for i, disturb := range []func(){
		func() {
			h.LAN.MustRun(t, "ip", "link", "set", lab.HostPort, "down")
			lab.Eventually(t, patience, func() error {
				if flags := ip[link](t, h.Host, "link", "show", "dev", "eth0")[0].Flags; !strings.Contains(fmt.Sprint(flags), "NO-CARRIER") {
					return fmt.Errorf("eth0 has its carrier: %v", flags)
				}
				return nil
			})
			h.LAN.MustRun(t, "ip", "link", "set", lab.HostPort, "up")
		},
		func() { h.sh(t, "ip link set eth0 address 02:00:00:00:00:09") },
		func() { h.sh(t, "ip link set eth0 down; ip link set eth0 up; ip route add default via 192.0.2.1") },
	} {
		h.LAN.MustRun(t, "ip", "neigh", "replace", address, "lladdr", "02:00:00:00:00:99", "nud", "stale", "dev", "eth0")
		disturb()
		if e := v.awaitEvent(t, "announced", "", i+1); e.Data.Uplink != "eth0" || e.Data.IP != address {
			t.Errorf("announced: %+v", e)
		}
		lab.Eventually(t, patience, func() error {
			found := ip[entry](t, h.LAN, "neigh", "show", address)
			if len(found) != 1 || found[0].Lladdr != mac() {
				return fmt.Errorf("the LAN has %s at %+v, want %s", address, found, mac())
			}
			return nil
		})
		v.reachedFrom(t, h.LAN)
	}
	h.must(t, "stop", v.Name)
	h.sh(t, "ip link set eth0 down; ip link set eth0 address "+first+"; ip link set eth0 up; ip route add default via 192.0.2.1")
	h.turnsAsBefore(t)
}

// TestUplinkIsReplaced pulls the card out under two guests and puts another in.
// They move to it; what was noted of the old one is forgotten, and the new one
// is as it was when they have gone.
func TestUplinkIsReplaced(t *testing.T) {
	t.Parallel()
	h := newHost(t, lab.NoGuestRoute(), lab.LANPeers(1))
	v := h.startNet(t, append(boot(t), "--name", "web", "--ip", "192.0.2.77")...)
	other := h.start(t, frozen(t, "--name", "behind")...)
	h.Unplug(t)
	for _, v := range []*vm{v, other} {
		v.awaitEvent(t, "uplink-gone", "", 1)
	}
	h.PlugIn(t)
	e := v.awaitEvent(t, "not-repaired", "uplink eth0", 1)
	if !strings.Contains(e.Data.Why, "no longer has an address in 192.0.2.0/24") {
		t.Errorf("the event does not say why: %+v", e)
	}
	h.sh(t, "ip address add "+lab.HostAddress+"/24 dev eth0; ip link set eth0 up; ip route add default via "+lab.LANAddress)
	for _, v := range []*vm{v, other} {
		v.awaitEvent(t, "uplink-back", "", 1)
		v.awaitEvent(t, "repaired", "proxy ARP for "+v.IP+" on eth0", 1)
	}
	v.reachedFrom(t, h.LAN)
	index := ip[struct{ Ifindex int }](t, h.Host, "link", "show", "dev", "eth0")[0].Ifindex
	for _, name := range strings.Fields(h.sh(t, "ls /run/kvmrun/net")) {
		if name != "lock" && !strings.HasPrefix(name, fmt.Sprintf("interface-%d.", index)) {
			t.Errorf("still in the journal: %s", name)
		}
	}
	h.must(t, "stop", "--all", "--force")
	now := h.Host.Snapshot(t)
	for _, section := range []string{"links", "addresses", "routes"} { // with its number and MAC in them
		h.before[section] = now[section]
	}
	if addresses := ip[link](t, h.Host, "-4", "address", "show", "dev", "eth0")[0].Addresses; len(addresses) != 1 {
		t.Errorf("the new uplink still has an alias: %+v", addresses)
	}
	h.isAsBefore(t)
}

// TestStopWithoutUplink takes a VM back while its uplink is gone.
func TestStopWithoutUplink(t *testing.T) {
	t.Parallel()
	h := newHost(t, lab.LANPeers(1))
	v := h.start(t, frozen(t)...)
	h.Unplug(t)
	v.awaitEvent(t, "uplink-gone", "", 1)
	h.must(t, "stop", "--force", v.Name)
	h.before = h.Host.Snapshot(t)
	if left := h.sh(t, "ls /run/kvmrun/net"); strings.TrimSpace(left) != "lock" {
		t.Errorf("still in the journal: %s", left)
	}
	if failed := h.sh(t, "kvmrun list -a --json"); strings.TrimSpace(failed) != "[]" {
		t.Errorf("still there: %s", failed)
	}
}
