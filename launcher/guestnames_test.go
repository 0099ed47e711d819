package launcher

import (
	"net/netip"
	"testing"

	"kvmrun/launcher/vmdir"
	"kvmrun/netplumb"
)

// TestGuestNames looks names up while VMs come, fail and go.
func TestGuestNames(t *testing.T) {
	root, err := vmdir.Open(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	names := NewGuestNames(root)
	check := func(name, want string) {
		t.Helper()
		addr, ok := names.Address(name)
		if got := addr.String(); ok != (want != "") || ok && got != want {
			t.Errorf("%s is at %s, %v; want %q", name, got, ok, want)
		}
	}
	mac, err := netplumb.ParseMAC("52:54:00:00:00:01") // a description has one
	if err != nil {
		t.Fatal(err)
	}
	add := func(name, host, ip string) vmdir.New {
		t.Helper()
		folder, err := root.New()
		if err != nil {
			t.Fatal(err)
		}
		spec := Spec{Name: name, HostName: host, Network: Network{IP: netip.MustParseAddr(ip), MAC: mac}}
		if err := folder.Dir.Write(vmdir.SpecFile, &spec); err != nil {
			t.Fatal(err)
		}
		if err := root.Lease(leaseIP+ip, name); err != nil {
			t.Fatal(err)
		}
		if err := folder.Name(root, name); err != nil {
			t.Fatal(err)
		}
		return folder
	}
	check("web", "")
	add("Web_1", "", "10.254.254.2")
	check("web_1", "10.254.254.2")
	check("web-1", "10.254.254.2")
	add("db", "store", "10.254.254.3")
	check("db", "10.254.254.3")
	check("store", "10.254.254.3")
	add("store", "", "10.254.254.4") // a VM's name goes first
	check("store", "10.254.254.4")
	if name, ok := names.Name(netip.MustParseAddr("10.254.254.2")); !ok || name != "Web-1" {
		t.Errorf("10.254.254.2 is %q, %v", name, ok)
	}
	if name, ok := names.Name(netip.MustParseAddr("10.254.254.9")); ok {
		t.Errorf("10.254.254.9 is %q", name)
	}
	if err := root.Release(leaseIP+"10.254.254.3", "db"); err != nil { // as when it has failed
		t.Fatal(err)
	}
	check("db", "")
	check("web_1", "10.254.254.2")
}
