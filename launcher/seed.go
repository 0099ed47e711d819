package launcher

import (
	"errors"
	"io"
	"io/fs"
	"net/netip"
	"os"
	"regexp"
	"slices"
	"strings"

	"golang.org/x/crypto/ssh"

	"kvmrun/images"
	"kvmrun/images/seed"
	"kvmrun/launcher/firstboot"
	"kvmrun/launcher/identity"
	"kvmrun/launcher/qemu"
)

// FirstBoot is what the guest's cloud-init is told by a seed disk. A guest without
// cloud-init takes no notice.
type FirstBoot struct {
	// Login is the account that may log in by key; root if empty.
	Login string `json:"login"`
	// AuthorizedKeys are public keys, one line each, of those who may log in beside
	// kvmrun itself.
	AuthorizedKeys []string `json:"authorized_keys,omitempty"`
	// UserData, MetaData and NetworkConfig are files with documents of the user's own.
	UserData      string `json:"user_data,omitempty"`
	MetaData      string `json:"meta_data,omitempty"`
	NetworkConfig string `json:"network_config,omitempty"`
	// HostKey is the guest's SSH host key, as a line of known_hosts has it behind the
	// name. It follows from the VM's name and this host's secret, and is known as soon
	// as this host has one.
	HostKey string `json:"host_key,omitempty"`
}

// accountName is what Debian's useradd(8) lets an account be called.
var accountName = regexp.MustCompile(`^[a-z_][a-z0-9_-]{0,31}$`)

// maxHostName is what Linux lets a machine be called (HOST_NAME_MAX, gethostname(2)).
const maxHostName = 64

// validHostName are labels of letters, digits and dashes (RFC 1123, section 2.1).
var validHostName = regexp.MustCompile(`^[a-zA-Z0-9]([a-zA-Z0-9-]*[a-zA-Z0-9])?(\.[a-zA-Z0-9]([a-zA-Z0-9-]*[a-zA-Z0-9])?)*$`)

// checkFirstBoot finds values that no guest could make sense of.
func (s *Spec) checkFirstBoot() error {
	if s.HostName != "" && (len(s.HostName) > maxHostName || !validHostName.MatchString(s.HostName)) {
		return fail(KindUsage, "use up to 64 letters, digits, dashes and dots", "--hostname %.80q is not a host name", s.HostName)
	}
	f := s.FirstBoot
	if f == nil {
		return nil
	}
	if !accountName.MatchString(f.Login) {
		return fail(KindUsage, "use up to 32 small letters, digits, dashes and underscores, a letter first",
			"--login %.40q is not the name of an account", f.Login)
	}
	for _, key := range f.AuthorizedKeys {
		if _, _, _, _, err := ssh.ParseAuthorizedKey([]byte(key)); err != nil || strings.ContainsAny(key, "\r\n") {
			return fail(KindUsage, "give a line as in ~/.ssh/id_ed25519.pub, or that file's name",
				"--ssh-key %.40q is not one public key", key)
		}
	}
	return nil
}

// findFirstBoot looks at the documents that the seed disk will have.
func (d *draft) findFirstBoot() error {
	f := d.spec.FirstBoot
	if f == nil {
		return nil
	}
	for _, file := range f.files() {
		if err := absolute(file); err != nil {
			return err
		}
	}
	_, err := d.spec.SeedFiles(identity.New()) // other keys do not matter here
	return err
}

// files are the names of the user's documents.
func (f *FirstBoot) files() []*string {
	return []*string{&f.UserData, &f.MetaData, &f.NetworkConfig}
}

// chooseHostKey names the guest's SSH host key, once the VM has a name.
func (d *draft) chooseHostKey() {
	if f := d.spec.FirstBoot; f != nil && d.identity != nil {
		f.HostKey = d.identity.HostKey(d.spec.Name).Public
	}
}

// openIdentity gets this host's secret, from which the guest's keys follow.
func (l *Launcher) openIdentity(d *draft) error {
	if d.spec.FirstBoot == nil {
		return nil
	}
	if err := os.MkdirAll(l.data, 0o700); err != nil {
		return &Error{Kind: KindStorage, Err: err, Advice: "choose another by --data-dir"}
	}
	id, err := identity.Open(l.data)
	d.identity = &id
	return err
}

// readIdentity is openIdentity for those who change nothing.
func (l *Launcher) readIdentity(d *draft) error {
	if d.spec.FirstBoot == nil {
		return nil
	}
	id, err := identity.Read(l.data)
	if errors.Is(err, fs.ErrNotExist) {
		d.note("the guest's SSH host key is not known yet: kvmrun makes this host's secret for keys when it first needs it")
		return nil
	}
	d.identity = &id
	return err
}

// SeedFiles are the documents of a Spec's seed disk, with keys that follow from the
// host's secret.
func (s *Spec) SeedFiles(id identity.Identity) (seed.Files, error) {
	f, n := s.FirstBoot, s.Network
	host := id.HostKey(s.Name)
	config := firstboot.Config{
		InstanceID: s.UUID, HostName: s.hostName(), Login: f.Login,
		AuthorizedKeys: append([]string{id.LoginKey().Public}, f.AuthorizedKeys...),
		HostKeyPrivate: host.Private, HostKeyPublic: host.Public,
		Network: firstboot.Network{
			MAC: n.MAC.String(), DHCP: n.DHCP != DHCPOff,
			Address: netip.PrefixFrom(n.IP, n.Subnet.Bits()), Gateway: n.Gateway,
			DNS: n.nameServers(), Search: n.Search, MTU: n.MTU,
		},
	}
	var err error
	for _, d := range []struct {
		flag, path string
		content    *[]byte
	}{
		{"--user-data", f.UserData, &config.UserData},
		{"--meta-data", f.MetaData, &config.MetaData},
		{"--network-config", f.NetworkConfig, &config.NetworkConfig},
	} {
		if *d.content, err = readDocument(d.flag, d.path); err != nil {
			return seed.Files{}, err
		}
	}
	files, err := config.Files()
	if err != nil {
		return files, fail(KindUsage, "mend the document", "--%w", err) // it begins with the document's name
	}
	return files, nil
}

// seedFiles are the documents for a script; nil without a seed. As long as this host
// has no secret, the keys in it are the script's own.
func (d *draft) seedFiles(s Spec) (*seed.Files, error) {
	if s.FirstBoot == nil {
		return nil, nil
	}
	id := d.identity
	if id == nil {
		own := identity.New()
		id = &own
	}
	files, err := s.SeedFiles(*id)
	return &files, err
}

// SeedDisk is the seed as QEMU gets it.
func SeedDisk(source qemu.Source) qemu.Disk {
	return qemu.Disk{ID: "seed", Data: true, Layers: []qemu.Layer{{Source: source, Format: string(images.Raw), ReadOnly: true}}}
}

// readDocument reads one of the user's documents; an empty path is none.
func readDocument(flag, path string) ([]byte, error) {
	if path == "" {
		return nil, nil
	}
	if err := readable(flag, path, KindUsage); err != nil {
		return nil, err
	}
	f, err := os.Open(path)
	if err != nil {
		return nil, fail(KindUsage, "", "%s: %w", flag, err)
	}
	defer func() { _ = f.Close() }()
	text, err := io.ReadAll(io.LimitReader(f, seed.MaxFile+1))
	switch {
	case err != nil:
		return nil, fail(KindUsage, "", "%s: %w", flag, err)
	case len(text) > seed.MaxFile:
		return nil, fail(KindUsage, "have the guest fetch the rest", "%s: %s is larger than %s", flag, path, FormatSize(seed.MaxFile))
	}
	return text, nil
}

// hostName is what the guest is called: as asked for, or after the VM.
func (s *Spec) hostName() string {
	if s.HostName != "" {
		return s.HostName
	}
	return hostName(s.Name)
}

// ReadKey is a public key as somebody names it: by the key itself, which begins with its
// type, or by the file that it stands in.
func ReadKey(text string) (string, error) {
	text = strings.TrimSpace(text)
	kind, _, words := strings.Cut(text, " ")
	if words && slices.ContainsFunc([]string{"ssh-", "ecdsa-", "sk-"}, func(start string) bool { return strings.HasPrefix(kind, start) }) {
		return text, nil
	}
	content, err := readDocument("--ssh-key", text)
	if err != nil {
		return "", err
	}
	key := strings.TrimSpace(string(content))
	if strings.Contains(key, "PRIVATE KEY") {
		return "", fail(KindUsage, "name the public one, which ends in .pub as a rule", "--ssh-key %s is a private key", text)
	}
	return key, nil
}
