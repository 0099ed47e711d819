package build

import (
	"os"
	"os/exec"
	"slices"
	"strings"
)

// needed are the programs and files that a build uses, and Debian's packages that
// have them.
var needed = []struct{ thing, pkg string }{
	{"mmdebstrap", "mmdebstrap"},
	{"apt-get", "apt"},
	{"tar", "tar"},
	{"mount", "mount"},
	{"mke2fs", "e2fsprogs"},
	{"mkfs.vfat", "dosfstools"},
	{"mcopy", "mtools"},
	{"mmd", "mtools"},
	{"grub-mkimage", "grub-common"},
	{grubPC + "/boot.img", "grub-pc-bin"},
	{grubEFI + "/normal.mod", "grub-efi-amd64-bin"},
	{keyring, "debian-archive-keyring"},
}

// checkTools fails with ErrTools if something is missing, and says how to get it.
func checkTools() error {
	var things, packages []string
	for _, n := range needed {
		if there(n.thing) {
			continue
		}
		things = append(things, n.thing)
		if !slices.Contains(packages, n.pkg) {
			packages = append(packages, n.pkg)
		}
	}
	if things == nil {
		return nil
	}
	return &Error{Kind: ErrTools, Detail: "the host lacks " + strings.Join(things, ", "),
		Advice: "install them (Debian: apt install " + strings.Join(packages, " ") + ")"}
}

func there(thing string) bool {
	if strings.HasPrefix(thing, "/") {
		_, err := os.Stat(thing)
		return err == nil
	}
	for _, dir := range []string{"", "/usr/local/sbin/", "/usr/sbin/", "/sbin/"} {
		if _, err := exec.LookPath(dir + thing); err == nil {
			return true
		}
	}
	return false
}

// program is where a program lies, for those that are not in everybody's path.
func program(name string) string {
	if path, err := exec.LookPath(name); err == nil {
		return path
	}
	for _, dir := range []string{"/usr/local/sbin/", "/usr/sbin/", "/sbin/"} {
		if path, err := exec.LookPath(dir + name); err == nil {
			return path
		}
	}
	return name
}
