package launcher

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"

	"kvmrun/images"
	"kvmrun/launcher/disks"
	"kvmrun/launcher/firmware"
	"kvmrun/launcher/qemu"
)

// UEFI is a firmware in place of the machine's BIOS.
type UEFI struct {
	// Secure asks for Secure Boot with the keys that the firmware comes with.
	Secure bool `json:"secure,omitempty"`
	// Variables is a file in which the firmware keeps its variables, made at the first
	// start. It stays the user's, as a disk does. If empty, they lie beside the VM's kept
	// disks, or begin anew with each start where it has none.
	Variables string `json:"variables,omitempty"`
	// What was found on this host. Whatever a caller says of it is overwritten.
	firmware.UEFI
}

// minUEFIMemory is what edk2 needs: with 128 MiB it runs, and falls over when it loads a
// kernel.
const minUEFIMemory = 256 * Mebi

func (s *Spec) checkUEFI() error {
	u := s.UEFI
	switch {
	case u == nil:
		return nil
	case s.Machine == qemu.MicroVM:
		return fail(KindUsage, "use --machine q35", "microvm has no flash memory for --firmware uefi")
	case u.Secure && s.Machine != qemu.Q35:
		return fail(KindUsage, "use --machine q35", "--firmware uefi-secure needs system management mode, which kvmrun has on q35 alone")
	case s.Memory < minUEFIMemory:
		return fail(KindUsage, "give at least "+FormatSize(minUEFIMemory), "--memory %s is too little for UEFI", FormatSize(s.Memory))
	}
	return nil
}

// findFirmware finds the firmware's files, and looks at the variables' file if there is
// one.
func (d *draft) findFirmware() error {
	if d.spec.UEFI == nil {
		return nil
	}
	own := *d.spec.UEFI // the caller keeps its own
	u := &own
	d.spec.UEFI = u
	var err error
	if u.UEFI, err = firmware.Find(firmware.Dirs, firmware.Want{Machine: d.spec.Machine, Secure: u.Secure}); err != nil {
		what := "UEFI firmware"
		if u.Secure {
			what += " with Secure Boot"
		}
		return fail(KindHost, "install it (Debian: apt install ovmf)", "%s for %s is not here: %w", what, d.spec.Machine, err)
	}
	if u.Variables == "" {
		return nil
	}
	if err := absolute(&u.Variables); err != nil {
		return err
	}
	if _, err := os.Lstat(u.Variables); errors.Is(err, fs.ErrNotExist) {
		return checkFolder(u.Variables)
	}
	f, err := OpenVariables(u)
	if err != nil {
		return err
	}
	return f.Close()
}

// checkFolder makes sure that there is a folder in which a file is to be made.
func checkFolder(path string) error {
	if info, err := os.Stat(filepath.Dir(path)); err != nil || !info.IsDir() {
		return fail(KindImage, "make the folder, or check the path", "--firmware-vars %s: there is no folder for it", path)
	}
	return nil
}

// OpenVariables opens the file with the firmware's variables, which no other QEMU may
// have. It must be as large as those that the firmware comes with: another firmware's
// are of no use.
func OpenVariables(u *UEFI) (*images.Chain, error) {
	template, err := images.Open(u.Template.Path, images.Options{Format: images.Format(u.Template.Format), ReadOnly: true})
	if err != nil {
		return nil, err
	}
	size := template.VirtualSize()
	_ = template.Close()
	chain, err := images.Open(u.Variables, images.Options{Format: images.Format(u.Template.Format)})
	if err != nil {
		return nil, err
	}
	switch err = chain.CheckUnused(); {
	case errors.Is(err, images.ErrInUse):
		err = fail(KindImageInUse, "give each VM variables of its own", "the variables in %s are in use by another QEMU", u.Variables)
	case err == nil && len(chain.Layers) > 1:
		err = fail(KindImage, "name one by itself", "%s has a backing file", u.Variables)
	case err == nil && chain.VirtualSize() != size:
		err = fail(KindImage, "move it away, and it is made anew",
			"the variables in %s have %d bytes; %s wants %d", u.Variables, chain.VirtualSize(), u.Code.Path, size)
	}
	if err != nil {
		_ = chain.Close()
		return nil, err
	}
	return chain, nil
}

// KeptVariables is the file beside a VM's kept disks in which its firmware's variables
// stay; empty if it keeps no disks. A firmware with Secure Boot must not go on with
// variables that another made without keys.
func (s *Spec) KeptVariables(data string) string {
	return s.besideDisks(data, s.UEFI.keptName())
}

func (u *UEFI) keptName() string {
	if u.Secure {
		return disks.SecureVariables
	}
	return disks.Variables
}

// KeptTPMState is the file beside a VM's kept disks in which its TPM's state stays; empty
// if it keeps no disks.
func (s *Spec) KeptTPMState(data string) string { return s.besideDisks(data, disks.TPMState) }

func (s *Spec) besideDisks(data, name string) string {
	if !s.KeepsDisks() {
		return ""
	}
	return filepath.Join(disks.At(data).Folder(s.Name), name)
}

// MakeVariables makes the file with the firmware's variables if it is not there, whole
// or not at all (O_TMPFILE, open(2)).
func MakeVariables(u *UEFI) error {
	if _, err := os.Lstat(u.Variables); !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	err := makeVariables(u)
	if err != nil && !errors.Is(err, fs.ErrExist) { // somebody was quicker
		return fail(KindImage, fmt.Sprintf("make it by cp %s %s", u.Template.Path, u.Variables), "the firmware's variables: cannot make %s: %w", u.Variables, err)
	}
	return nil
}

func makeVariables(u *UEFI) error {
	template, err := os.Open(u.Template.Path)
	if err != nil {
		return err
	}
	defer func() { _ = template.Close() }()
	fd, err := unix.Open(filepath.Dir(u.Variables), unix.O_TMPFILE|unix.O_RDWR|unix.O_CLOEXEC, 0o600)
	if err != nil {
		return err
	}
	f := os.NewFile(uintptr(fd), u.Variables)
	defer func() { _ = f.Close() }()
	if _, err := io.Copy(f, template); err != nil {
		return err
	}
	if err := f.Sync(); err != nil {
		return err
	}
	return unix.Linkat(unix.AT_FDCWD, fmt.Sprintf("/proc/self/fd/%d", fd), unix.AT_FDCWD, u.Variables, unix.AT_SYMLINK_FOLLOW)
}
