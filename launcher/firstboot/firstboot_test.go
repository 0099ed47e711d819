package firstboot

import (
	"net/netip"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"go.yaml.in/yaml/v3"
)

func example() Config {
	return Config{
		InstanceID: "6b4c8122-551f-4230-bc99-d767f63b79b5", HostName: "web", Login: Root,
		AuthorizedKeys: []string{"ssh-ed25519 AAAA kvmrun"},
		HostKeyPrivate: "-----BEGIN\nx\n", HostKeyPublic: "ssh-ed25519 BBBB web",
		Network: Network{
			MAC: "52:54:0a:fe:fe:02", DHCP: true, Address: netip.MustParsePrefix("10.254.254.2/24"),
			Gateway: netip.MustParseAddr("10.254.254.1"), DNS: []netip.Addr{netip.MustParseAddr("192.0.2.53")},
			Search: []string{"example.org"}, MTU: 1400,
		},
	}
}

// read is the document as cloud-init reads it.
func read(t *testing.T, text []byte) map[string]any {
	t.Helper()
	got := map[string]any{}
	if err := yaml.Unmarshal(text, &got); err != nil {
		t.Fatalf("%v in %s", err, text)
	}
	return got
}

func same(t *testing.T, what string, got, want any) {
	t.Helper()
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("%s: %s", what, diff)
	}
}

type object = map[string]any

func TestFiles(t *testing.T) {
	files, err := example().Files()
	if err != nil {
		t.Fatal(err)
	}
	same(t, "meta-data", read(t, files.MetaData), object{
		"instance-id": "6b4c8122-551f-4230-bc99-d767f63b79b5", "local-hostname": "web",
		"public-keys": []any{"ssh-ed25519 AAAA kvmrun"},
	})
	same(t, "vendor-data", read(t, files.VendorData), object{
		"disable_root": false,
		"ssh_keys":     object{"ed25519_private": "-----BEGIN\nx\n", "ed25519_public": "ssh-ed25519 BBBB web"},
	})
	same(t, "network-config", read(t, files.NetworkConfig), object{
		"version":   2,
		"ethernets": object{"nic0": object{"match": object{"macaddress": "52:54:0a:fe:fe:02"}, "dhcp4": true}},
	})
	for _, text := range [][]byte{files.UserData, files.VendorData} {
		if !strings.HasPrefix(string(text), "#cloud-config\n") {
			t.Errorf("cloud-init does not know %q", text)
		}
	}
}

// TestLogin: an account that is not root is made beside the image's own.
func TestLogin(t *testing.T) {
	c := example()
	c.Login = "ann"
	files, err := c.Files()
	if err != nil {
		t.Fatal(err)
	}
	vendor := read(t, files.VendorData)
	same(t, "users", vendor["users"], []any{"default", object{
		"name": "ann", "sudo": "ALL=(ALL) NOPASSWD:ALL", "shell": "/bin/bash", "lock_passwd": true,
		"ssh_authorized_keys": []any{"ssh-ed25519 AAAA kvmrun"},
	}})
	if _, said := vendor["disable_root"]; said {
		t.Error("root may log in, too")
	}
}

// TestStatic: without DHCP the guest is told all.
func TestStatic(t *testing.T) {
	c := example()
	c.Network.DHCP = false
	files, err := c.Files()
	if err != nil {
		t.Fatal(err)
	}
	card := read(t, files.NetworkConfig)["ethernets"].(object)["nic0"]
	same(t, "network-config", card, object{
		"match": object{"macaddress": "52:54:0a:fe:fe:02"}, "dhcp4": false,
		"addresses": []any{"10.254.254.2/24"}, "mtu": 1400,
		"routes":      []any{object{"to": "0.0.0.0/0", "via": "10.254.254.1"}},
		"nameservers": object{"addresses": []any{"192.0.2.53"}, "search": []any{"example.org"}},
	})
}

// TestOwnDocuments: what the user says stands.
func TestOwnDocuments(t *testing.T) {
	c := example()
	c.UserData = []byte("#!/bin/sh\necho hello\n")
	c.NetworkConfig = []byte("version: 1\n")
	c.MetaData = []byte("instance-id: mine\nplace: here\n")
	files, err := c.Files()
	if err != nil {
		t.Fatal(err)
	}
	same(t, "user-data", string(files.UserData), string(c.UserData))
	same(t, "network-config", string(files.NetworkConfig), string(c.NetworkConfig))
	same(t, "meta-data", read(t, files.MetaData), object{
		"instance-id": "mine", "place": "here", "local-hostname": "web",
		"public-keys": []any{"ssh-ed25519 AAAA kvmrun"},
	})
}

func TestRefused(t *testing.T) {
	for text, want := range map[string]string{
		"hello":                         `begins with "hello", which cloud-init does not know`,
		"\n#cloud-config\n":             `begins with ""`,
		"#cloud-config\n- a\n- b\n":     "is no mapping of names to values",
		"#cloud-config\na: b: c\n":      "line 2",
		"#cloud-config\nusers: [a, b\n": "is no YAML",
	} {
		c := example()
		c.UserData = []byte(text)
		if _, err := c.Files(); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v; want %q", text, err, want)
		}
	}
	for _, nothing := range []string{"", "---\n", "null\n", "~", "# a word\n"} {
		c := example()
		c.MetaData = []byte(nothing)
		files, err := c.Files()
		if err != nil {
			t.Errorf("meta-data %q: %v", nothing, err)
		} else if read(t, files.MetaData)["local-hostname"] != "web" {
			t.Errorf("meta-data %q becomes %s", nothing, files.MetaData)
		}
	}
	c := example()
	c.MetaData = []byte("- a\n")
	if _, err := c.Files(); err == nil || !strings.HasPrefix(err.Error(), "meta-data is no mapping") {
		t.Errorf("meta-data that is a list: %v", err)
	}
	for _, text := range []string{"", "#cloud-config\n", "#cloud-config\nusers:\n  - a\n", "#!/bin/sh\n", "Content-Type: multipart/mixed;\n", "## template: jinja\n#cloud-config\n{{ a: b: c }}\n"} {
		if err := CheckUserData([]byte(text)); err != nil {
			t.Errorf("%q: %v", text, err)
		}
	}
}
