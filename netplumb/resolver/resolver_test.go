package resolver

import (
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

var addrs = cmp.Comparer(func(a, b netip.Addr) bool { return a == b })

func servers(list ...string) []netip.Addr {
	var out []netip.Addr
	for _, s := range list {
		out = append(out, netip.MustParseAddr(s))
	}
	return out
}

// TestOfHost keeps the servers that no guest could ask.
func TestOfHost(t *testing.T) {
	root := t.TempDir()
	if got, err := OfHost(root); err != nil || len(got) > 0 {
		t.Errorf("without a file: %v, %v", got, err)
	}
	if err := os.Mkdir(filepath.Join(root, "etc"), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(root, File), []byte("nameserver 127.0.0.53\nnameserver 2001:db8::1\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	got, err := OfHost(root)
	if d := cmp.Diff(servers("127.0.0.53", "2001:db8::1"), got, addrs); d != "" || err != nil {
		t.Errorf("%v (-want +got):\n%s", err, d)
	}
}

func TestParse(t *testing.T) {
	for name, c := range map[string]struct {
		text string
		want Config
	}{
		"nothing":            {"", Config{}},
		"one server":         {"nameserver 192.0.2.1\n", Config{Servers: servers("192.0.2.1")}},
		"no newline at end":  {"nameserver 192.0.2.1", Config{Servers: servers("192.0.2.1")}},
		"carriage returns":   {"nameserver 192.0.2.1\r\nsearch a.example\r\n", Config{Servers: servers("192.0.2.1"), Search: []string{"a.example"}}},
		"both families":      {"nameserver 2001:db8::1\nnameserver 192.0.2.1\n", Config{Servers: servers("2001:db8::1", "192.0.2.1")}},
		"mapped":             {"nameserver ::ffff:192.0.2.1\n", Config{Servers: servers("192.0.2.1")}},
		"with a zone":        {"nameserver fe80::1%eth0\n", Config{Servers: servers("fe80::1%eth0")}},
		"twice the same":     {"nameserver 192.0.2.1\nnameserver 192.0.2.1\n", Config{Servers: servers("192.0.2.1")}},
		"comments":           {"# nameserver 192.0.2.1\n;nameserver 192.0.2.2\n\tnameserver\t192.0.2.3 # trailing\n", Config{Servers: servers("192.0.2.3")}},
		"nonsense":           {"nameserver\nnameserver localhost\nnameserver 300.1.2.3\noptions edns0\nsortlist x\n\x00\n", Config{}},
		"last search counts": {"search a.example\ndomain b.example\nsearch c.example d.example\n", Config{Search: []string{"c.example", "d.example"}}},
		"domain is one":      {"domain b.example c.example\n", Config{Search: []string{"b.example"}}},
		"root domain":        {"search .\n", Config{}},
		"final dots":         {"search a.example. b\n", Config{Search: []string{"a.example", "b"}}},
	} {
		t.Run(name, func(t *testing.T) {
			if d := cmp.Diff(c.want, Parse(c.text), addrs); d != "" {
				t.Errorf("(-want +got):\n%s", d)
			}
		})
	}
}

const (
	stub       = "nameserver 127.0.0.53\noptions edns0 trust-ad\nsearch lan.example\n"
	resolved   = "/run/systemd/resolve/resolv.conf"
	noStub     = "/run/NetworkManager/no-stub-resolv.conf"
	resolvconf = "/run/dnsmasq/resolv.conf"
)

func TestRead(t *testing.T) {
	for name, c := range map[string]struct {
		files map[string]string
		want  Config
	}{
		"no file at all": {nil, Config{}},
		"real servers": {
			map[string]string{File: "nameserver 192.0.2.1\nnameserver 192.0.2.2\n", resolved: "nameserver 192.0.2.9\n"},
			Config{Servers: servers("192.0.2.1", "192.0.2.2"), Source: File},
		},
		"systemd's stub": {
			map[string]string{File: stub, resolved: "nameserver 192.0.2.9\nsearch other.example\n", noStub: "nameserver 192.0.2.8\n"},
			Config{Servers: servers("192.0.2.9"), Search: []string{"lan.example"}, Source: resolved},
		},
		"NetworkManager's dnsmasq": {
			map[string]string{File: "nameserver 127.0.1.1\n", noStub: "nameserver 192.0.2.8\nsearch nm.example\n"},
			Config{Servers: servers("192.0.2.8"), Search: []string{"nm.example"}, Source: noStub},
		},
		"dnsmasq by resolvconf": {
			map[string]string{File: "nameserver 127.0.0.1\n", resolvconf: "nameserver 192.0.2.7\n"},
			Config{Servers: servers("192.0.2.7"), Source: resolvconf},
		},
		"a stub beside a real server": {
			map[string]string{File: "nameserver 127.0.0.1\nnameserver 192.0.2.1\n", resolved: "nameserver 192.0.2.9\n"},
			Config{Servers: servers("192.0.2.1"), Source: File},
		},
		"IPv6 alone, IPv4 behind the stub": {
			map[string]string{File: "nameserver ::1\nnameserver 2001:db8::1\n", resolved: "nameserver 2001:db8::1\nnameserver 192.0.2.9\n"},
			Config{Servers: servers("192.0.2.9"), Source: resolved},
		},
		"this host by its other name": {
			map[string]string{File: "nameserver 0.0.0.0\n"},
			Config{},
		},
		"a stub without upstreams": {
			map[string]string{File: stub, resolved: "# none\n"},
			Config{Search: []string{"lan.example"}},
		},
		"an endless file": {
			map[string]string{File: "nameserver 192.0.2.1\n" + strings.Repeat("#", 2*longestFile) + "\nnameserver 192.0.2.2\n"},
			Config{Servers: servers("192.0.2.1"), Source: File},
		},
	} {
		t.Run(name, func(t *testing.T) {
			root := t.TempDir()
			for path, text := range c.files {
				write(t, filepath.Join(root, path), text)
			}
			got, err := Read(root)
			if err != nil {
				t.Fatal(err)
			}
			if d := cmp.Diff(c.want, got, addrs); d != "" {
				t.Errorf("(-want +got):\n%s", d)
			}
		})
	}
}

func TestReadSaysWhichFileItCannotRead(t *testing.T) {
	root := t.TempDir()
	path := filepath.Join(root, File)
	if err := os.MkdirAll(path, 0o755); err != nil { // a directory opens, but cannot be read
		t.Fatal(err)
	}
	if _, err := Read(root); err == nil || !strings.Contains(err.Error(), path) {
		t.Errorf("error %v does not name %s", err, path)
	}
}

func write(t *testing.T, path, text string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
}

func FuzzParse(f *testing.F) {
	f.Add(stub)
	f.Add("nameserver fe80::1%eth0\nsearch . a. ..\ndomain\n")
	f.Add("nameserver ::ffff:127.0.0.1\x00\n;\n#\n")
	f.Fuzz(func(t *testing.T, text string) {
		c := Parse(text)
		for _, server := range forGuests(c.Servers) {
			if !server.Is4() || server.IsLoopback() {
				t.Errorf("a guest would be told %v", server)
			}
		}
		for _, name := range c.Search {
			if name == "" || strings.ContainsAny(name, " \t\n") {
				t.Errorf("search domain %q", name)
			}
		}
	})
}
