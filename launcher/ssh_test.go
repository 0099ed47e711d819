package launcher

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// bent is a user's configuration that leads everybody somewhere else.
const bent = `
Host *
  Port 2222
  User eve
  ProxyJump evil
  KnownHostsCommand /bin/evil
  VerifyHostKeyDNS yes
  UpdateHostKeys yes
  ControlMaster auto
  ControlPath /tmp/%r@%h:%p
  ForwardAgent yes
  BatchMode no
  RemoteCommand evil
  PermitLocalCommand yes
  LocalCommand evil
  ForwardX11 yes
  ForwardX11Trusted yes
  Tunnel yes
  RemoteForward 4711 elsewhere:22
  DynamicForward 4712
  GSSAPIAuthentication yes
  GSSAPIDelegateCredentials yes
  AddKeysToAgent yes
  PubkeyAuthentication no
  HostKeyAlgorithms rsa-sha2-512
`

// TestSSHOptions asks ssh itself how it understands what it is told.
func TestSSHOptions(t *testing.T) {
	dir := filepath.Join(t.TempDir(), `a "dir" of 100 %d`)
	s := SSH{
		VM: "web.1", IP: "10.254.254.2", User: "ann", Known: true,
		KnownHosts: filepath.Join(dir, "known_hosts"), IdentityFile: filepath.Join(dir, "id_ed25519"),
	}
	config := filepath.Join(t.TempDir(), "config")
	if err := os.WriteFile(config, []byte(SSH{VM: "db", IP: "10.254.254.3", User: "root", KnownHosts: "/run/x"}.Stanza()+s.Stanza()+bent), 0o600); err != nil {
		t.Fatal(err)
	}
	crooked := filepath.Join(t.TempDir(), "crooked")
	if err := os.WriteFile(crooked, []byte(bent), 0o600); err != nil {
		t.Fatal(err)
	}
	byArgs := s.Args(nil)
	for name, args := range map[string][]string{
		"arguments": append([]string{"-F", crooked, "-G"}, byArgs[1:]...),
		"stanza":    {"-F", config, "-G", "web.1"},
	} {
		out, err := exec.Command("ssh", args...).CombinedOutput()
		if err != nil {
			t.Fatalf("%s: %v\n%s", name, err, out)
		}
		for _, want := range []string{
			"hostname 10.254.254.2", "user ann", "hostkeyalias web.1", "stricthostkeychecking true",
			"globalknownhostsfile /dev/null", "userknownhostsfile " + s.KnownHosts, "identitiesonly yes", "checkhostip no",
			"port 22", "batchmode yes", "forwardagent no", "updatehostkeys false", "verifyhostkeydns false", "permitlocalcommand no",
			"forwardx11 no", "forwardx11trusted no", "tunnel false", "gssapiauthentication no", "gssapidelegatecredentials no",
			"addkeystoagent false", "pubkeyauthentication true", "hostkeyalgorithms ssh-ed25519",
			"clearallforwardings " + map[string]string{"arguments": "yes", "stanza": "no"}[name],
		} {
			if !strings.Contains("\n"+string(out), "\n"+want+"\n") {
				t.Errorf("%s: ssh does not say %q:\n%s", name, want, out)
			}
		}
		// By a stanza, what the user forwards is the user's affair.
		if forwards := strings.Contains(string(out), "elsewhere"); forwards != (name == "stanza") {
			t.Errorf("%s: forwarding is %v:\n%s", name, forwards, out)
		}
		for _, never := range []string{"evil", "port 2222", "user eve", "controlpath /"} {
			if strings.Contains(strings.ReplaceAll(string(out), "localcommand evil", ""), never) {
				t.Errorf("%s: ssh says %q:\n%s", name, never, out)
			}
		}
	}
}

func TestSSHArgs(t *testing.T) {
	args := SSH{VM: "web", IP: "10.254.254.2", User: "root"}.Args([]string{"echo", "a  b", "$(reboot)", "it's", ""})
	if got, want := strings.Join(args[len(args)-3:], "\n"), "web\n--\necho 'a  b' '$(reboot)' 'it'\\''s' ''"; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
	if args := (SSH{VM: "web"}).Args(nil); args[0] != "ssh" || args[len(args)-1] != "web" {
		t.Errorf("a shell: %q", args)
	}
}

// TestReplaceFile: a file that says so already is left alone.
func TestReplaceFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "file")
	for _, text := range []string{"a", "a", "b"} {
		before, _ := os.Stat(path)
		same, _ := os.ReadFile(path)
		if err := replaceFile(path, text); err != nil {
			t.Fatal(err)
		}
		after, err := os.Stat(path)
		if err != nil || after.Mode().Perm() != 0o600 {
			t.Fatalf("%v, %v", after, err)
		}
		if is, _ := os.ReadFile(path); string(is) != text {
			t.Errorf("it says %q", is)
		}
		if before != nil && os.SameFile(before, after) != (string(same) == text) {
			t.Errorf("%q over %q: replaced or not, and should be the other", text, same)
		}
	}
}
