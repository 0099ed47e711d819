// Package firstboot writes what a guest's cloud-init is told by its seed disk: who it
// is, who may log in, and how its network is. Writing is pure.
//
// What kvmrun itself wants goes into vendor-data, which cloud-init takes for whatever
// the user-data leaves open: a user's own document is passed on untouched and wins.
package firstboot

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"net/netip"
	"strings"

	"go.yaml.in/yaml/v3"

	"kvmrun/images/seed"
)

// Root is the account that every guest has.
const Root = "root"

// Config is what a guest is to know.
type Config struct {
	// InstanceID tells one machine from the next: with another one, cloud-init does
	// its first boot again, as for a new overlay on an old image.
	InstanceID string
	HostName   string
	// Login is the account that may log in by key and become root without a password.
	// It is made if there is none.
	Login string
	// AuthorizedKeys are public keys, one line each, of those who may log in.
	AuthorizedKeys []string
	// HostKey is the guest's own SSH key of type ed25519: OpenSSH's form of the
	// private key, and a line with the public one.
	HostKeyPrivate, HostKeyPublic string
	Network                       Network

	// UserData, MetaData and NetworkConfig are the user's own documents, nil for
	// none. MetaData need not say what is known anyhow; the others stand as they are.
	UserData, MetaData, NetworkConfig []byte
}

// Network is the guest's one card.
type Network struct {
	MAC     string
	DHCP    bool         // somebody answers DHCP there; otherwise all stands below
	Address netip.Prefix // with the length of the guests' subnet
	Gateway netip.Addr
	DNS     []netip.Addr
	Search  []string
	MTU     int // bytes
}

// Files are the documents of the seed disk.
func (c Config) Files() (seed.Files, error) {
	metaData, err := c.metaData()
	if err != nil {
		return seed.Files{}, err
	}
	if err := CheckUserData(c.UserData); err != nil {
		return seed.Files{}, err
	}
	files := seed.Files{
		MetaData: metaData, UserData: c.UserData,
		VendorData: cloudConfig(c.vendorData()), NetworkConfig: c.NetworkConfig,
	}
	if files.UserData == nil {
		files.UserData = cloudConfig(struct{}{}) // an empty one, of a kind that cloud-init knows
	}
	if files.NetworkConfig == nil {
		files.NetworkConfig = document(c.Network.config())
	}
	return files, nil
}

// metaData is the user's document, completed.
func (c Config) metaData() ([]byte, error) {
	var data map[string]any
	if err := readYAML("meta-data", c.MetaData, &data); err != nil {
		return nil, err
	}
	if data == nil { // it says nothing, or null
		data = map[string]any{}
	}
	for key, value := range map[string]any{
		"instance-id": c.InstanceID, "local-hostname": c.HostName, "public-keys": c.AuthorizedKeys,
	} {
		if _, said := data[key]; !said {
			data[key] = value
		}
	}
	text, err := yaml.Marshal(data)
	if err != nil {
		return nil, fmt.Errorf("meta-data: %w", err)
	}
	return text, nil
}

// vendorData is kvmrun's part of a cloud-config (cloud-init's modules Users and
// Groups, and SSH).
func (c Config) vendorData() map[string]any {
	config := map[string]any{
		"ssh_keys": map[string]string{"ed25519_private": c.HostKeyPrivate, "ed25519_public": c.HostKeyPublic},
	}
	if c.Login == Root {
		config["disable_root"] = false // the public-keys of meta-data are root's then
		return config
	}
	config["users"] = []any{"default", map[string]any{
		"name": c.Login, "sudo": "ALL=(ALL) NOPASSWD:ALL", "shell": "/bin/bash",
		"lock_passwd": true, "ssh_authorized_keys": c.AuthorizedKeys,
	}}
	return config
}

// config is the network in version 2 of cloud-init's form. The card is known by its
// MAC, whatever the guest calls it.
func (n Network) config() map[string]any {
	card := map[string]any{"match": map[string]string{"macaddress": n.MAC}, "dhcp4": n.DHCP}
	if !n.DHCP {
		card["addresses"] = []string{n.Address.String()}
		card["mtu"] = n.MTU
		if n.Gateway.IsValid() {
			card["routes"] = []any{map[string]any{"to": "0.0.0.0/0", "via": n.Gateway.String()}}
		}
		servers := map[string]any{}
		if len(n.DNS) > 0 {
			servers["addresses"] = n.DNS
		}
		if len(n.Search) > 0 {
			servers["search"] = n.Search
		}
		if len(servers) > 0 {
			card["nameservers"] = servers
		}
	}
	return map[string]any{"version": 2, "ethernets": map[string]any{"nic0": card}}
}

// document writes JSON, which is YAML, too.
func document(v any) []byte {
	var b bytes.Buffer
	encoder := json.NewEncoder(&b)
	encoder.SetIndent("", "  ")
	encoder.SetEscapeHTML(false)
	if err := encoder.Encode(v); err != nil {
		panic(err) // strings, numbers and booleans always can be
	}
	return b.Bytes()
}

const cloudConfigLine = "#cloud-config\n"

func cloudConfig(v any) []byte { return append([]byte(cloudConfigLine), document(v)...) }

// starts are those of user-data that cloud-init knows (its documentation, "User-data
// formats").
var starts = []string{
	"#cloud-config", "#!", "#include", "#cloud-boothook", "#part-handler", "#cloud-config-archive",
	"## template: jinja", "Content-Type: multipart/", "MIME-Version:", "From ", "\x1f\x8b",
}

// CheckUserData finds what a guest would find out minutes later, and tell nobody: a
// document of no kind that cloud-init knows, or a cloud-config that is no YAML.
func CheckUserData(text []byte) error {
	if len(text) == 0 {
		return nil
	}
	known := false
	for _, start := range starts {
		known = known || bytes.HasPrefix(text, []byte(start))
	}
	if !known {
		first, _, _ := strings.Cut(string(text[:min(len(text), 200)]), "\n")
		return fmt.Errorf("user-data begins with %.40q, which cloud-init does not know; begin with #cloud-config, #! or a MIME header", first)
	}
	line, _, _ := strings.Cut(string(text), "\n")
	if strings.TrimSpace(line) != strings.TrimSpace(cloudConfigLine) {
		return nil
	}
	var config map[string]any
	return readYAML("user-data", text, &config)
}

// readYAML reads a document that is to be a mapping.
func readYAML(name string, text []byte, into *map[string]any) error {
	err := yaml.Unmarshal(text, into)
	if wrong := new(yaml.TypeError); errors.As(err, &wrong) {
		return fmt.Errorf("%s is no mapping of names to values", name)
	}
	if err != nil {
		return fmt.Errorf("%s is no YAML: %s", name, strings.TrimPrefix(err.Error(), "yaml: "))
	}
	return nil
}
