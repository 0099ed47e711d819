package dhcp

import (
	"bufio"
	"bytes"
	"errors"
	"io"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"kvmrun/netplumb/internal/nstest"
)

func TestDnsmasqArgs(t *testing.T) {
	got, err := DnsmasqArgs(testConfig())
	want := []string{
		"--keep-in-foreground", "--log-facility=-", "--quiet-dhcp", "--pid-file=",
		"--conf-file=/dev/null", "--no-hosts", "--no-resolv", "--port=0",
		"--bind-interfaces", "--interface=tap0", "--except-interface=lo",
		"--no-ping", "--leasefile-ro", "--dhcp-authoritative", "--dhcp-broadcast",
		"--dhcp-range=10.254.254.7,static,255.255.255.0",
		"--dhcp-host=52:54:0a:fe:fe:07,10.254.254.7,web,infinite",
		"--dhcp-option=option:router,10.254.254.1",
		"--dhcp-option=option:dns-server,192.0.2.53,192.0.2.54",
		"--dhcp-option=option:domain-name,example.org",
		"--dhcp-option=option:domain-search,example.org,kvmrun.internal",
		"--dhcp-option=option:mtu,1400",
	}
	if d := cmp.Diff(want, got); d != "" || err != nil {
		t.Errorf("%v (-want +got):\n%s", err, d)
	}
}

func TestDnsmasqArgsOfTheLeast(t *testing.T) {
	cfg := Config{Interface: "tap0", MAC: guestMAC, Address: testConfig().Address, ServerID: testConfig().ServerID, Lease: time.Hour}
	got, err := DnsmasqArgs(cfg)
	want := []string{"--dhcp-host=52:54:0a:fe:fe:07,10.254.254.7,3600", "--dhcp-option=option:router"}
	if err != nil || !cmp.Equal(want, got[len(got)-2:]) {
		t.Errorf("%v, %v; want %v at the end", got, err, want)
	}
}

func TestDnsmasqRefuses(t *testing.T) {
	for name, change := range map[string]func(*Config){
		"no server in the guest's subnet": func(c *Config) { c.Address = netip.MustParsePrefix("10.254.254.7/32") },
		"a domain with a comma":           func(c *Config) { c.Search = []string{"a,b"} },
		"a name with a comma":             func(c *Config) { c.HostName = "a,ignore" },
		"a wildcard for an interface":     func(c *Config) { c.Interface = "tap*" },
	} {
		cfg := testConfig()
		change(&cfg)
		if args, err := DnsmasqArgs(cfg); !errors.Is(err, ErrConfig) {
			t.Errorf("%s: %v, %v", name, args, err)
		}
	}
}

func TestDnsmasqStarted(t *testing.T) {
	for line, want := range map[string]bool{
		"dnsmasq[30653]: started, version 2.90 DNS disabled": true,
		"dnsmasq: failed to create listening socket":         false,
		"dnsmasq-dhcp[1]: started, version x":                false,
		"":                                                   false,
	} {
		if DnsmasqStarted(line) != want {
			t.Errorf("DnsmasqStarted(%q) is not %v", line, want)
		}
	}
}

func TestShellWord(t *testing.T) {
	for word, want := range map[string]string{
		"--interface=tap0": "--interface=tap0",
		"":                 "''",
		"a b":              "'a b'",
		"it's $HOME":       `'it'\''s $HOME'`,
	} {
		if got := shellWord(word); got != want {
			t.Errorf("shellWord(%q) = %s, want %s", word, got, want)
		}
	}
}

// TestTwoDnsmasqsOnOneHost runs two of them at once on taps with the same
// address; each serves its own guest, the first time it asks.
func TestTwoDnsmasqsOnOneHost(t *testing.T) {
	program := needDnsmasq(t)
	host := nstest.New(t)
	for i, tap := range []string{"tap0", "tap1"} {
		cfg := testConfig()
		cfg.Interface = tap
		cfg.MAC = net.HardwareAddr{0x52, 0x54, 10, 254, 254, byte(7 + i)}
		cfg.Address = netip.PrefixFrom(netip.AddrFrom4([4]byte{10, 254, 254, byte(7 + i)}), 24)
		guest := nstest.New(t)
		nstest.JoinByVeth(t, host, guest, tap, guestMAC)
		guest.Run(t, "ip link set eth0 address "+cfg.MAC.String())
		host.Run(t, "ip addr add 10.254.254.1/32 dev "+tap)
		args, err := DnsmasqArgs(cfg)
		if err != nil {
			t.Fatal(err)
		}
		startDnsmasq(t, host, program, args)
		defer func() { // after both have started
			told, err := udhcpc(t, guest, append(askForAll, "-t", "1")...)
			want := toldByDefault()
			want["ip"] = cfg.Address.Addr().String()
			if d := cmp.Diff(want, told); d != "" || err != nil {
				t.Errorf("%s: %v (-want +got):\n%s", tap, err, d)
			}
		}()
	}
}

// TestDnsmasqLeavesTheNeighbourAlone has a permanent entry for the guest, as
// kvmrun makes one. A dnsmasq that answers by unicast makes it an ordinary one.
func TestDnsmasqLeavesTheNeighbourAlone(t *testing.T) {
	program := needDnsmasq(t)
	host, guest := nstest.New(t), nstest.New(t)
	nstest.JoinByVeth(t, host, guest, "tap0", guestMAC)
	host.Run(t, "ip addr add 10.254.254.1/32 dev tap0")
	host.Run(t, "ip neigh add 10.254.254.7 lladdr "+guestMAC.String()+" nud permanent dev tap0")
	args, err := DnsmasqArgs(testConfig())
	if err != nil {
		t.Fatal(err)
	}
	startDnsmasq(t, host, program, args)
	if _, err := udhcpc(t, guest, append(askForAll, "-t", "1")...); err != nil {
		t.Error(err)
	}
	if got := host.Run(t, "ip neigh show 10.254.254.7 dev tap0"); !strings.Contains(got, "PERMANENT") {
		t.Errorf("the neighbour is %s", got)
	}
}

// TestDnsmasqShell runs the command as a person would.
func TestDnsmasqShell(t *testing.T) {
	needDnsmasq(t)
	host, guest := nstest.New(t), nstest.New(t)
	nstest.JoinByVeth(t, host, guest, "tap0", guestMAC)
	host.Run(t, "ip addr add 10.254.254.1/32 dev tap0")
	folder, err := os.MkdirTemp("", "dnsmasq it's ") // with something to quote
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(folder) })
	pidFile := filepath.Join(folder, "pid")
	command, err := DnsmasqShell(testConfig(), pidFile)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if out, err := exec.Command("sh", "-c", `kill "$(cat "$0")"`, pidFile).CombinedOutput(); err != nil {
			t.Errorf("end dnsmasq: %v\n%s", err, out)
		}
	})
	host.Do(func() {
		if out, err := exec.Command("sh", "-c", command).CombinedOutput(); err != nil {
			t.Errorf("%s\n%v\n%s", command, err, out)
		}
	})
	told, err := udhcpc(t, guest, append(askForAll, "-t", "1")...)
	if d := cmp.Diff(toldByDefault(), told); d != "" || err != nil {
		t.Errorf("%v (-want +got):\n%s", err, d)
	}
}

func needDnsmasq(t *testing.T) string {
	t.Helper()
	program, err := exec.LookPath("dnsmasq")
	if err != nil {
		t.Skip("skipped: dnsmasq is not installed")
	}
	return program
}

// startDnsmasq returns when dnsmasq says that it has started, and ends it with
// the test.
func startDnsmasq(t *testing.T, ns *nstest.Namespace, program string, args []string) {
	t.Helper()
	reader, writer, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(program, args...)
	cmd.Env, cmd.Stderr = append(os.Environ(), "LC_ALL=C"), writer
	ns.Do(func() { err = cmd.Start() })
	_ = writer.Close()
	if err != nil {
		t.Fatal(err)
	}
	var log bytes.Buffer
	var drained sync.WaitGroup
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
		drained.Wait()
		if t.Failed() {
			t.Logf("dnsmasq:\n%s", &log)
		}
	})
	_ = reader.SetReadDeadline(time.Now().Add(10 * time.Second))
	lines := bufio.NewReader(reader)
	for {
		line, err := lines.ReadString('\n')
		log.WriteString(line)
		if DnsmasqStarted(line) {
			break
		}
		if err != nil {
			t.Fatalf("dnsmasq did not start: %v\n%s", err, strings.TrimSpace(log.String()))
		}
	}
	_ = reader.SetReadDeadline(time.Time{})
	drained.Go(func() { _, _ = io.Copy(&log, lines) })
}
