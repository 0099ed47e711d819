package dhcp

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"kvmrun/netplumb/internal/nstest"
)

var guestMAC = net.HardwareAddr{0x52, 0x54, 10, 254, 254, 7}

func testConfig() Config {
	return Config{
		Interface: "tap0",
		MAC:       guestMAC,
		Address:   netip.MustParsePrefix("10.254.254.7/24"),
		Router:    netip.MustParseAddr("10.254.254.1"),
		DNS:       []netip.Addr{netip.MustParseAddr("192.0.2.53"), netip.MustParseAddr("192.0.2.54")},
		HostName:  "web",
		Search:    []string{"example.org", "kvmrun.internal"},
		MTU:       1400,
		ServerID:  netip.MustParseAddr("10.254.254.1"),
	}
}

// serve runs a server in host until the test ends and collects its events.
func serve(t *testing.T, host *nstest.Namespace, cfg Config) (s *Server, events chan Event, ended chan error) {
	t.Helper()
	var err error
	host.Do(func() { s, err = Listen(cfg) })
	if err != nil {
		t.Fatal(err)
	}
	events, ended = make(chan Event, 10_000), make(chan error, 1)
	s.OnEvent = func(e Event) { events <- e }
	ctx, cancel := context.WithCancel(t.Context())
	go func() { ended <- s.Serve(ctx); close(ended) }()
	t.Cleanup(func() {
		cancel()
		for err := range ended {
			if err != nil {
				t.Errorf("Serve: %v", err)
			}
		}
	})
	return s, events, ended
}

// udhcpc runs busybox's client in guest and returns what it was told.
func udhcpc(t *testing.T, guest *nstest.Namespace, args ...string) (told map[string]string, err error) {
	t.Helper()
	busybox, err := exec.LookPath("busybox")
	if err != nil {
		t.Skip("skipped: busybox, whose DHCP client this test runs, is not installed")
	}
	script := filepath.Join(t.TempDir(), "told")
	body := "#!/bin/sh\n[ \"$1\" = bound ] || [ \"$1\" = nak ] && env >" + script + ".env\nexit 0\n"
	if err := os.WriteFile(script, []byte(body), 0o700); err != nil {
		t.Fatal(err)
	}
	args = append([]string{"udhcpc", "-f", "-n", "-q", "-i", "eth0", "-T", "1", "-s", script}, args...)
	var out []byte
	guest.Do(func() { out, err = exec.Command(busybox, args...).CombinedOutput() })
	if err != nil {
		return nil, fmt.Errorf("udhcpc: %w\n%s", err, out)
	}
	env, err := os.ReadFile(script + ".env")
	if err != nil {
		return nil, err
	}
	told = map[string]string{}
	for line := range strings.Lines(string(env)) {
		name, value, _ := strings.Cut(strings.TrimSpace(line), "=")
		switch name {
		case "ip", "subnet", "mask", "router", "dns", "hostname", "domain", "mtu", "lease", "serverid", "broadcast", "staticroutes":
			told[name] = value
		}
	}
	return told, nil
}

var askForAll = []string{"-O", "mtu", "-O", "hostname", "-O", "domain", "-O", "broadcast"}

func toldByDefault() map[string]string {
	return map[string]string{
		"ip": "10.254.254.7", "subnet": "255.255.255.0", "mask": "24", "router": "10.254.254.1",
		"dns": "192.0.2.53 192.0.2.54", "hostname": "web", "domain": "example.org", "mtu": "1400",
		"lease": "4294967295", "serverid": "10.254.254.1", "broadcast": "10.254.254.255",
	}
}

func TestServeTellsARealClientEverything(t *testing.T) {
	for _, flags := range [][]string{nil, {"-B"}, {"-C"}} {
		t.Run(strings.Join(flags, ""), func(t *testing.T) {
			host, guest := nstest.New(t), nstest.New(t)
			nstest.JoinByVeth(t, host, guest, "tap0", guestMAC)
			_, events, _ := serve(t, host, testConfig())

			start := time.Now()
			told, err := udhcpc(t, guest, append(flags, askForAll...)...)
			if err != nil {
				t.Fatal(err)
			}
			if d := cmp.Diff(toldByDefault(), told); d != "" {
				t.Errorf("what the client was told (-want +got):\n%s", d)
			}
			t.Logf("from the client's start to its end: %v", time.Since(start))
			for _, want := range []Kind{Offered, Acknowledged} {
				if e := <-events; e.Kind != want || e.Err != nil {
					t.Errorf("event %v, want %s", e, want)
				}
			}
		})
	}
}
