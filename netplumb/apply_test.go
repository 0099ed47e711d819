package netplumb

import (
	"context"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// situations are configurations that between them use every kind of step.
func situations() map[string]Config {
	all := map[string]Config{"subnet": subnetConfig(), "lan": lanConfig()}
	for base, c := range map[string]Config{"subnet": subnetConfig(), "lan": lanConfig()} {
		c.ProxyARP = ProxyInterface
		all[base+" interface"] = c
		c.ProxyARP = ProxyOff
		all[base+" off"] = c
	}
	c := subnetConfig()
	c.Uplink = ""
	all["no uplink"] = c
	c = subnetConfig()
	c.Queues, c.VnetHdr, c.MTU, c.TapUID, c.TapGID = 4, true, 9000, 1000, 100
	all["queues"] = c
	return all
}

func TestApplyReviewUndo(t *testing.T) {
	if !ownNamespace(t) {
		return
	}
	for name, c := range situations() {
		t.Run(name, func(t *testing.T) {
			l := newLab(t)
			defer l.sh("ip link delete eth0")
			before := l.state()
			p := l.plan(c)
			files := l.apply(p)
			if len(files) != c.Queues {
				t.Errorf("%d descriptors for %d queues", len(files), c.Queues)
			}
			for _, f := range files {
				if flags, err := unix.FcntlInt(f.Fd(), unix.F_GETFD, 0); err != nil || flags&unix.FD_CLOEXEC == 0 {
					t.Errorf("a descriptor is not close-on-exec (%v)", err)
				}
			}
			l.allWell(p)
			closeAll(files)
			l.undo(p)
			l.unchanged(before)
			l.undo(p)
			l.unchanged(before)
		})
	}
}

// TestKernelState reads back by iproute2 what the guest's network must look
// like, independently of Review.
func TestKernelState(t *testing.T) {
	if !ownNamespace(t) {
		return
	}
	l := newLab(t)
	l.apply(l.plan(subnetConfig()))
	for command, want := range map[string]string{
		"cat /sys/class/net/kvm-web/ifalias 2>/dev/null || ip link show kvm-web | sed -n 's/ *alias //p'": "kvmrun web it's",
		"ip -o link show group 21076 | cut -d: -f2":                                                       "kvm-web",
		"ip -o link show group 21076 up | cut -d: -f2":                                                    "kvm-web",
		"ip -o -4 address show kvm-web | tr -s ' ' | cut -d' ' -f2-7":                                     "kvm-web inet 10.254.254.1/32 scope link noprefixroute",
		"ip route show proto 82":                                                                          "10.254.254.2 dev kvm-web scope link src 10.254.254.1",
		"ip neigh show dev kvm-web":                                                                       "10.254.254.2 lladdr 52:54:0a:fe:fe:02 PERMANENT",
		"ip neigh show proxy":                                                                             "10.254.254.2 dev eth0 proxy proto 82",
		"ip -o -4 address show label eth0:0 | tr -s ' ' | cut -d' ' -f2-7":                                `eth0 inet 10.254.254.1/32 metric 21076 scope`,
		"sysctl -n net.ipv4.conf.kvm-web.forwarding":                                                      "1",
		"sysctl -n net.ipv4.conf.kvm-web.proxy_arp":                                                       "1",
		"sysctl -n net.ipv4.conf.kvm-web.rp_filter":                                                       "1",
		"sysctl -n net.ipv4.neigh.kvm-web.proxy_delay":                                                    "0",
		"sysctl -n net.ipv6.conf.kvm-web.disable_ipv6":                                                    "1",
		"sysctl -n net.ipv4.conf.eth0.forwarding":                                                         "1",
		"sysctl -n net.ipv4.conf.eth0.proxy_arp":                                                          "0",
		"sysctl -n net.ipv4.neigh.eth0.proxy_delay":                                                       "0",
		"sysctl -n net.ipv4.ip_forward":                                                                   "0",
		"ip route get 8.8.8.8 | head -n 1 | tr -s ' '":                                                    "8.8.8.8 via 192.168.1.1 dev eth0 src 192.168.1.10 uid 0",
	} {
		if got := strings.TrimSpace(l.sh(command)); got != want {
			t.Errorf("%s\n got %s\nwant %s", command, got, want)
		}
	}
}

// TestUndoByAnotherProcess stores a plan, kills its maker's part of the work,
// and lets another process undo it from the stored form.
func TestUndoByAnotherProcess(t *testing.T) {
	if !ownNamespace(t) {
		return
	}
	const variable = "NETPLUMB_TEST_UNDO"
	if dir := os.Getenv(variable); dir != "" {
		undoStored(t, dir)
		return
	}
	l := newLab(t)
	before := l.state()
	p := l.plan(subnetConfig())
	text, err := json.Marshal(p)
	if err != nil {
		t.Fatal(err)
	}
	stored := t.TempDir()
	if err := os.WriteFile(filepath.Join(stored, "plan"), text, 0o600); err != nil {
		t.Fatal(err)
	}
	// The descriptors stay open: undoing has to delete the tap itself.
	l.apply(p)
	cmd := exec.Command("/proc/self/exe", "-test.run=^TestUndoByAnotherProcess$", "-test.v")
	cmd.Env = append(os.Environ(), variable+"="+stored+":"+l.dir)
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%s%v", out, err)
	}
	l.unchanged(before)
}

func undoStored(t *testing.T, dirs string) {
	stored, journal, _ := strings.Cut(dirs, ":")
	text, err := os.ReadFile(filepath.Join(stored, "plan"))
	if err != nil {
		t.Fatal(err)
	}
	var p Plan
	if err := json.Unmarshal(text, &p); err != nil {
		t.Fatal(err)
	}
	h, err := OpenHost(journal)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = h.Close() }()
	if err := p.Undo(context.Background(), h); err != nil {
		t.Fatal(err)
	}
}
