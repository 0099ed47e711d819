package bench

import (
	"crypto/rand"
	"os"
	"path/filepath"
	"testing"

	"kvmrun/tests/lab"
)

// copied is how big the file is that is copied, in bytes.
const copied = 100e6

// measureTalk runs commands in a guest and copies a file there and back, beside ssh and
// scp, which are told by kvmrun ssh-config how.
func measureTalk(b *testing.B) []row {
	h := newHost(b)
	g := lab.SSHGuest(b)
	h.start(b, "--name", "web", "--memory", "512M", "--kernel", g.Kernel, "--initrd", g.Initrd,
		"--append", "console=ttyS0 mitigations=off panic=0", "--cloud-init", "on", "--wait", "agent", "--wait", "ssh")
	defer h.stop(b, "web")
	dir := b.TempDir()
	config, file := filepath.Join(dir, "config"), filepath.Join(dir, "file")
	content := make([]byte, copied)
	_, _ = rand.Read(content)
	for path, text := range map[string][]byte{config: []byte(h.MustRun(b, "kvmrun", "ssh-config")), file: content} {
		if err := os.WriteFile(path, text, 0o600); err != nil {
			b.Fatal(err)
		}
	}
	way := func(command ...string) func() float64 {
		return func() float64 { return taking(func() { h.MustRun(b, command[0], command[1:]...) }) }
	}
	commands := rounds(20,
		way("kvmrun", "exec", "--by", "agent", "web", "--", "true"),
		way("kvmrun", "exec", "--by", "ssh", "web", "--", "true"),
		way("ssh", "-F", config, "web", "true"))
	files := rounds(5,
		way("kvmrun", "cp", file, "web:/copy"), way("scp", "-q", "-F", config, file, "web:/copy"),
		way("kvmrun", "cp", "web:/copy", dir+"/ours"), way("scp", "-q", "-F", config, "web:/copy", dir+"/theirs"))
	return []row{
		{what: "`exec` of `true` by the guest's agent", unit: milliseconds, kvmrun: commands[0],
			against: "ssh", other: commands[2], goal: below(.015, milliseconds)},
		{what: "`exec` of `true` by SSH", unit: milliseconds, kvmrun: commands[1],
			against: "ssh", other: commands[2], goal: notLonger()},
		{what: "`cp` of 100 MB into the guest", unit: seconds, kvmrun: files[0],
			against: "scp", other: files[1], goal: notLonger()},
		{what: "`cp` of 100 MB out of it", unit: seconds, kvmrun: files[2],
			against: "scp", other: files[3], goal: notLonger()},
	}
}
