package bootlog

import (
	"regexp"
	"strings"
)

// panicked is the kernel's last word. With the usual time in front it may stand behind
// what somebody else has not ended with a new line (Linux: kernel/panic.c, printk.c).
var panicked = regexp.MustCompile(`(?:^|\[ *\d+\.\d+\](?:\[ *[TC]\d+\])? )(` + panicWords + `\b.*)`)

const panicWords = "Kernel panic - not syncing"

// givenUp are lines after which a boot goes on by nobody's but a person's hand, by how
// they begin.
var givenUp = []string{
	"No bootable device.",                                        // SeaBIOS
	"BdsDxe: No bootable option or device was found",             // edk2
	"Entering emergency mode. Exit the shell",                    // dracut
	"You are in emergency mode.",                                 // systemd
	"Cannot open access to console, the root account is locked.", // sulogin, where systemd wants it
	"initramfs emergency recovery shell launched",                // Alpine's mkinitfs
	"You are now being dropped into an emergency shell.",         // mkinitcpio
}

// prompts are where a boot ends up that has lost its way. A person may lead it on.
var prompts = []string{
	"(initramfs) ",            // initramfs-tools
	"grub> ", "grub rescue> ", // GRUB without its configuration, or without itself
	"Shell> ",                    // the UEFI shell, edk2's last choice
	"mountroot> ",                // FreeBSD
	"dracut:/# ", "[rootfs ~]# ", // dracut, mkinitcpio
	"Press Enter for maintenance", // sulogin
	"Give root password for maintenance",
}

// failureIn is what a whole line says of a boot's failure; "" if it says nothing of it.
func failureIn(line string) string {
	if strings.Contains(line, panicWords) { // much sooner than by the expression
		if found := panicked.FindStringSubmatch(line); found != nil {
			return strings.TrimSpace(found[1])
		}
	}
	line = strings.TrimSpace(line)
	for _, beginning := range givenUp {
		if strings.HasPrefix(line, beginning) {
			return strings.TrimRight(line, ".")
		}
	}
	return ""
}

// promptIn is failureIn for a line that has not ended.
func promptIn(line string) string {
	for _, prompt := range prompts {
		if strings.HasPrefix(line, prompt) {
			return "it waits at the prompt " + strings.TrimSpace(prompt)
		}
	}
	return ""
}
