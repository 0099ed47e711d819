package launcher

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/google/renameio/v2"
	"golang.org/x/crypto/ssh"

	"kvmrun/launcher/firstboot"
	"kvmrun/launcher/identity"
	"kvmrun/launcher/vmdir"
)

// SSH is how to log into a VM by the ssh of the host's (ssh_config(5)).
type SSH struct {
	VM   string `json:"vm"`
	IP   string `json:"ip"`
	User string `json:"user"`
	// KnownHosts is a file of this VM's alone, with the guest's host key if that was
	// known before it booted.
	KnownHosts string `json:"known_hosts"`
	// Known says that it was. Otherwise the first key that the guest shows is taken
	// and kept as long as the VM lives: the VM's address leads to its own tap and
	// nowhere else, so that nobody but the guest can show one.
	Known bool `json:"known"`
	// IdentityFile is kvmrun's own key, if the guest was told to take it.
	IdentityFile string `json:"identity_file,omitempty"`
}

// SSH tells how to log into a VM that runs, and writes the files that ssh needs for it.
func (l *Launcher) SSH(name string) (SSH, error) {
	s, err := l.ssh(name)
	return s, during("ssh to "+printableName(name), err)
}

func (l *Launcher) ssh(name string) (SSH, error) {
	dir, err := l.dir(name)
	if err != nil {
		return SSH{}, err
	}
	vm, err := l.look(dir)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return SSH{}, noSuchVM(name)
	case err != nil:
		return SSH{}, err
	case vm.PID == 0 && vm.State != Starting:
		return SSH{}, fail(KindEnded, "see kvmrun logs "+name, "the VM has ended: %s", vm.Reason)
	}
	s := SSH{VM: name, IP: vm.IP, User: firstboot.Root, KnownHosts: dir.File(vmdir.KnownHosts)}
	f := vm.Spec.FirstBoot
	if f == nil {
		return s, nil
	}
	s.User, s.Known = f.Login, true
	if s.IdentityFile, err = l.loginKey(); err != nil {
		return SSH{}, err
	}
	return s, inFolderOf(dir, vm.Run, func(d vmdir.Dir) error { return writeKnownHosts(d, &vm.Spec) })
}

// writeKnownHosts writes the guest's host key down for ssh, if it is known.
func writeKnownHosts(d vmdir.Dir, s *Spec) error {
	if s.FirstBoot == nil {
		return nil
	}
	return replaceFile(d.File(vmdir.KnownHosts), s.Name+" "+s.FirstBoot.HostKey+"\n")
}

// loginKey is the file of the key with which kvmrun logs in. It is written where it is
// not what it should be.
func (l *Launcher) loginKey() (string, error) {
	id, err := identity.Read(l.data)
	if errors.Is(err, fs.ErrNotExist) {
		err = fail(KindStorage, "put it back, or restart the VM, which makes another",
			"the secret is gone from which the VM's keys follow: %w", err)
	}
	if err != nil {
		return "", err
	}
	folder := filepath.Join(l.data, "ssh")
	private := filepath.Join(folder, "id_ed25519")
	key := id.LoginKey()
	if isKey(private, key.Public) {
		return private, nil
	}
	return private, errors.Join(
		os.MkdirAll(folder, 0o700),
		replaceFile(private, key.Private),
		replaceFile(private+".pub", key.Public+"\n"))
}

// isKey tells whether a file has the private key that belongs to a public one, and
// nobody but its owner may read it. The same key has another form each time.
func isKey(path, public string) bool {
	info, err := os.Stat(path)
	if err != nil || info.Mode().Perm()&0o077 != 0 {
		return false
	}
	text, err := os.ReadFile(path)
	if err != nil {
		return false
	}
	key, err := ssh.ParsePrivateKey(text)
	return err == nil && strings.HasPrefix(public, strings.TrimSuffix(string(ssh.MarshalAuthorizedKey(key.PublicKey())), "\n"))
}

// replaceFile makes a file of mode 0600 say a text, whole, if it does not.
func replaceFile(path, text string) error {
	if is, err := os.ReadFile(path); err == nil && bytes.Equal(is, []byte(text)) {
		return nil
	}
	// In its own folder: the usual one for temporary files is everybody's, and a kill in
	// between would leave a key there.
	return renameio.WriteFile(path, []byte(text), 0o600, renameio.WithTempDir(filepath.Dir(path)))
}

// Options are those of ssh_config(5), name and value, that lead to the VM and to no
// other, whatever the user's own configuration says: by no other way, with no other keys
// known, and without lending the guest anything but the variables that it names by SendEnv.
func (s SSH) Options() [][2]string {
	check, batch := "accept-new", "no"
	if s.Known {
		check, batch = "yes", "yes"
	}
	options := [][2]string{
		{"HostName", s.IP}, {"Port", "22"}, {"User", s.User}, {"HostKeyAlias", s.VM},
		{"UserKnownHostsFile", sshPath(s.KnownHosts)}, {"GlobalKnownHostsFile", os.DevNull},
		{"KnownHostsCommand", "none"}, {"VerifyHostKeyDNS", "no"}, {"UpdateHostKeys", "no"},
		{"StrictHostKeyChecking", check}, {"CheckHostIP", "no"}, {"HashKnownHosts", "no"},
		{"ProxyCommand", "none"}, {"ControlPath", "none"}, {"ForwardAgent", "no"}, {"BatchMode", batch},
		{"RemoteCommand", "none"}, {"PermitLocalCommand", "no"},
		{"ForwardX11", "no"}, {"ForwardX11Trusted", "no"}, {"Tunnel", "no"}, {clearForwardings, "yes"},
		{"GSSAPIAuthentication", "no"}, {"GSSAPIDelegateCredentials", "no"},
		{"AddKeysToAgent", "no"}, {"PubkeyAuthentication", "yes"},
	}
	if s.Known {
		options = append(options, [2]string{"HostKeyAlgorithms", "ssh-ed25519"})
	}
	if s.IdentityFile != "" {
		options = append(options, [2]string{"IdentityFile", sshPath(s.IdentityFile)}, [2]string{"IdentitiesOnly", "yes"})
	}
	return options
}

// clearForwardings is the option that takes back what is forwarded by the user's
// configuration.
const clearForwardings = "ClearAllForwardings"

// Args are ssh's arguments, its own name first, for a command in the guest; none for a
// shell. The words of the command reach the guest's shell as they are.
func (s SSH) Args(command []string) []string {
	args := []string{"ssh"}
	for _, o := range s.Options() {
		args = append(args, "-o", o[0]+"="+o[1])
	}
	args = append(args, s.VM)
	if len(command) == 0 {
		return args
	}
	words := make([]string, len(command))
	for i, word := range command {
		words[i] = quote(word)
	}
	return append(args, "--", strings.Join(words, " "))
}

// Stanza is for ssh's configuration: it makes the VM's name one of ssh's, scp's and
// whatever else calls them.
func (s SSH) Stanza() string {
	var b strings.Builder
	fmt.Fprintf(&b, "Host %s\n", s.VM)
	for _, o := range s.Options() {
		if o[0] == "StrictHostKeyChecking" && !s.Known {
			o[1] = "ask" // a stanza may outlast the VM, and its address be another's
		}
		if o[0] == clearForwardings {
			continue // it would take back ssh -L too, which the user asks for
		}
		fmt.Fprintf(&b, "    %s %s\n", o[0], o[1])
	}
	return b.String()
}

// sshPath is a path as ssh's configuration has it: quoted, and with no percent sign that
// stands for something else.
func sshPath(path string) string {
	return `"` + strings.NewReplacer("%", "%%", `\`, `\\`, `"`, `\"`).Replace(path) + `"`
}
