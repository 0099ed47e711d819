package bootlog

import (
	"slices"
	"strings"
	"testing"
)

const (
	// What QEMU's SeaBIOS 1.16.2 says when it has nothing to boot.
	seabios = "\x1bc\x1b[?7l\x1b[2J\x1b[0mSeaBIOS (version 1.16.2-debian-1.16.2-1)\r\n" +
		"Booting from Hard Disk...\r\nBoot failed: not a bootable disk\r\n\r\n" +
		"Booting from Floppy...\r\nBoot failed: could not read the boot disk\r\n\r\nNo bootable device.\r\n"
	// What edk2 2022.11 says then.
	edk2 = "\x1b[2J\x1b[01;01H\x1b[=3h\x1b[2J\x1b[01;01HBdsDxe: failed to load Boot0001 \"UEFI Misc Device\" from PciRoot(0x0)/Pci(0x1,0x0): Not Found\r\n" +
		"BdsDxe: loading Boot0002 \"EFI Internal Shell\" from Fv(7CB8BDC9)\r\n" +
		"\x1b[2J\x1b[01;01H\x1b[01;01HUEFI Interactive Shell v2.2\r\nEDK II\r\n" +
		"\x1b[07;01HPress \x1b[1m\x1b[37m\x1b[40mESC\x1b[0m\x1b[37m\x1b[40m in 1 seconds to skip \x1b[1mstartup.nsh\x1b[0m or any other key to continue.\r\n" +
		"\x1b[08;01H\x1b[1m\x1b[33m\x1b[40mShell> \x1b[0m\x1b[37m\x1b[40m"
	// What Linux 6.1 says without its root.
	noRoot = "[    2.141884] Please append a correct \"root=\" boot option; here are the available partitions:\r\n" +
		"[    2.142326] Kernel panic - not syncing: VFS: Unable to mount root fs on unknown-block(0,0)\r\n"
	after = "[    2.143421] Call Trace:\r\n[    2.144238]  <TASK>\r\n"
)

func TestFailures(t *testing.T) {
	const panicText = "Kernel panic - not syncing: VFS: Unable to mount root fs on unknown-block(0,0)"
	for _, c := range []struct{ name, said, want string }{
		{"nothing", "", ""},
		{"SeaBIOS", seabios, "No bootable device"},
		{"SeaBIOS that still tries", strings.TrimSuffix(seabios, "No bootable device.\r\n"), ""},
		{"UEFI shell", edk2, "it waits at the prompt Shell>"},
		{"UEFI shell that goes on", edk2 + "fs0:\\EFI\\boot.efi\r\nbooting\r\n", ""},
		{"UEFI that tries the next", edk2[:strings.Index(edk2, "UEFI Interactive")], ""},
		{"UEFI without a shell", "BdsDxe: No bootable option or device was found.\r\n", "BdsDxe: No bootable option or device was found"},
		{"panic", noRoot + after, panicText},
		{"panic that is being said", strings.TrimSuffix(noRoot, "\r\n"), ""},
		{"panic without a time", "Kernel panic - not syncing: sysrq triggered crash\n", "Kernel panic - not syncing: sysrq triggered crash"},
		{"panic with its caller", "[    1.000000][    T1] Kernel panic - not syncing: x\n", "Kernel panic - not syncing: x"},
		{"panic behind a prompt", "~ # [  101.000000] Kernel panic - not syncing: x\r\n", "Kernel panic - not syncing: x"},
		{"panic in colours", "[    1.000000] \x1b[31mKernel panic - not syncing: x\x1b[0m\n", "Kernel panic - not syncing: x"},
		{"the first of two", noRoot + "[    3.000000] Kernel panic - not syncing: another\n", panicText},
		{"talk of a panic", "~ # echo Kernel panic - not syncing: x\r\nlog: Kernel panic - not syncing: y\r\n", ""},
		{"initramfs-tools", "ALERT!  /dev/nope does not exist.  Dropping to a shell!\n\n\nBusyBox v1.35.0 built-in shell (ash)\n\n(initramfs) ", "it waits at the prompt (initramfs)"},
		{"initramfs-tools that was led on", "(initramfs) exit\r\n[    9.000000] EXT4-fs (vda1): mounted\r\n", ""},
		{"dracut", "Entering emergency mode. Exit the shell to continue.\n", "Entering emergency mode. Exit the shell to continue"},
		{"systemd", "\x1b[1;31mYou are in emergency mode. After logging in, type \"journalctl -xb\" to view\n", `You are in emergency mode. After logging in, type "journalctl -xb" to view`},
		{"GRUB", "error: no such partition.\nEntering rescue mode...\ngrub rescue> ", "it waits at the prompt grub rescue>"},
		{"login", "Debian GNU/Linux 12 web ttyS0\n\nweb login: ", ""},
		{"a shell's prompt", "~ # ", ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			whole, pieces := new(Reader), new(Reader)
			whole.Take([]byte(c.said))
			for i := range len(c.said) {
				pieces.Take([]byte(c.said[i : i+1]))
			}
			if got := whole.Failure(); got != c.want {
				t.Errorf("%q, want %q", got, c.want)
			}
			if last := whole.Told(); strings.HasPrefix(c.want, "Kernel") && !strings.HasSuffix(last[len(last)-1], c.want) {
				t.Errorf("what was told until then is %q", last)
			}
			if pieces.Failure() != whole.Failure() || !slices.Equal(pieces.Last(), whole.Last()) {
				t.Errorf("byte by byte: %q %q", pieces.Failure(), pieces.Last())
			}
		})
	}
}

func TestLastLines(t *testing.T) {
	r := new(Reader)
	if got := r.Last(); len(got) != 0 {
		t.Errorf("nothing was said: %q", got)
	}
	r.Take([]byte("\x1b]0;title\x07one\x1b(B\r\n\r\n\ttwo \x7f\xff\x00\nthree"))
	if got, want := r.Last(), []string{"one", "\ttwo \xff", "three"}; !slices.Equal(got, want) {
		t.Errorf("%q, want %q", got, want)
	}
	r.Take([]byte(strings.Repeat("x", 2*maxLine) + "\n" + strings.Repeat("line\n", 2*MaxLines) + "end"))
	got := r.Last()
	if len(got) != MaxLines || got[MaxLines-1] != "end" || got[0] != "line" {
		t.Errorf("%d lines, from %q to %q", len(got), got[0], got[len(got)-1])
	}
}

// FuzzReader reads anything a guest may say: no more is kept than the bounds allow, no
// escape sequence is left, and it is the same in whatever pieces it comes.
func FuzzReader(f *testing.F) {
	for _, seed := range []string{"", seabios, edk2, noRoot + after, "\x1b", "\x1b[", "\x1b]0;x", "\x1b(", "a\x1b[31mb\x1b[0m\r\nc", "(initramfs) ", strings.Repeat("x", 2*maxLine)} {
		f.Add([]byte(seed), 7)
	}
	f.Fuzz(func(t *testing.T, text []byte, cut int) {
		whole, parts := new(Reader), new(Reader)
		whole.Take(text)
		at := min(max(cut, 0), len(text))
		parts.Take(text[:at])
		early := parts.failure
		parts.Take(text[at:])
		last := whole.Last()
		if !slices.Equal(last, parts.Last()) || whole.Failure() != parts.Failure() {
			t.Errorf("in two parts %q, whole %q", parts.Last(), last)
		}
		if early != "" && early != whole.Failure() {
			t.Errorf("it failed by %q, and then by %q", early, whole.Failure())
		}
		if len(last) > MaxLines || len(whole.Told()) > MaxLines {
			t.Errorf("%d lines are kept, %d of the failure", len(last), len(whole.Told()))
		}
		for _, line := range append(last, whole.Failure()) {
			if len(line) > maxLine+len("it waits at the prompt ") || strings.ContainsAny(line, "\x1b\n\r") {
				t.Errorf("%q is kept", line)
			}
		}
	})
}
