package supervisor

import (
	"os"
	"strings"
	"testing"
	"unicode"
	"unicode/utf8"

	"kvmrun/launcher"
	"kvmrun/launcher/vmdir"
	"kvmrun/netplumb"
	"kvmrun/netplumb/dhcp"
)

// FuzzTalk reads what QEMU and dnsmasq say for people: the last words of a log,
// which a guest may have a part in, are one short line that may go to a terminal;
// a card is there only if its MAC is.
func FuzzTalk(f *testing.F) {
	for _, seed := range []string{
		"", "qemu-system-x86_64: -drive x: Failed to get \"write\" lock\nIs another process using the image?\n",
		"\x1b[2J\x07\r\nrm -rf\r", strings.Repeat("x", 3*maxWords), strings.Repeat("é\n", 500), "\xff\xfe\x00\n\n\n", "\u202eevil\u009b1m\n",
		"hub 0\r\n \\ hub0port0: virtio-net-pci.0: index=0,type=nic,model=virtio-net-pci,macaddr=52:54:0a:fe:fe:02\r\n",
		"dnsmasq: started, version 2.90 cache disabled\n",
	} {
		f.Add(seed)
	}
	s := &supervisor{dir: vmdir.Dir{Name: "web", Path: f.TempDir()}, spec: launcher.Spec{QEMU: "/usr/bin/qemu-system-x86_64"}}
	mac, err := netplumb.ParseMAC("52:54:0a:fe:fe:02")
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, text string) {
		if err := os.WriteFile(s.dir.File(vmdir.QEMULog), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		words := s.lastWords()
		if len(words) > 3*maxWords || !utf8.ValidString(words) || strings.ContainsFunc(words, func(r rune) bool { return !unicode.IsPrint(r) }) {
			t.Errorf("last words %q", words)
		}
		if hasCard(text, mac) && !strings.Contains(strings.ToLower(text), mac.String()) {
			t.Errorf("a card %s in %q", mac, text)
		}
		if dhcp.DnsmasqStarted(text) && !strings.Contains(text, "started") {
			t.Errorf("a dnsmasq that says %q has started", text)
		}
	})
}
