package build

import (
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"strings"
)

// Where the host has GRUB's parts.
const (
	grubPC  = "/usr/lib/grub/i386-pc"
	grubEFI = "/usr/lib/grub/x86_64-efi"
)

// modules are what GRUB needs to find the root file system and what is there. They
// are in its own image, so that the file system needs none of the same version.
var modules = strings.Fields("part_gpt ext2 search search_fs_uuid normal configfile linux echo test ls cat serial terminal reboot halt")

// makeBoot makes core.img, by which a BIOS boots, and esp.img, by which UEFI does.
func (b *builder) makeBoot() error {
	find := fmt.Sprintf("search.fs_uuid %s root\nset prefix=($root)/boot/grub\n", b.id("root"))
	if err := write(b.file("find.cfg"), find, 0o600); err != nil {
		return err
	}
	for _, made := range []struct{ format, dir, file, more string }{
		{"i386-pc", grubPC, "core.img", "biosdisk"},
		{"x86_64-efi", grubEFI, "BOOTX64.EFI", "efi_gop all_video"},
	} {
		args := append([]string{"-O", made.format, "-d", made.dir, "-p", "/boot/grub", "-c", b.file("find.cfg"), "-o", b.file(made.file)}, modules...)
		if err := b.run("grub-mkimage", append(args, strings.Fields(made.more)...)...); err != nil {
			return err
		}
	}
	return b.makeESP()
}

// makeESP makes the EFI system partition, with the name that firmware looks for
// where nobody has told it of another (UEFI 2.10, 3.5.1.1).
func (b *builder) makeESP() error {
	esp := b.file("esp.img")
	f, err := os.Create(esp)
	if err != nil {
		return err
	}
	if err := errors.Join(f.Truncate(espSize), f.Close()); err != nil {
		return err
	}
	if err := b.run("mkfs.vfat", "-F", "16", "-n", "ESP", "-i", strings.ReplaceAll(b.volume(), "-", ""), "--invariant", esp); err != nil {
		return err
	}
	if err := b.run("mmd", "-i", esp, "::/EFI", "::/EFI/BOOT"); err != nil {
		return err
	}
	return b.run("mcopy", "-i", esp, b.file("BOOTX64.EFI"), "::/EFI/BOOT/BOOTX64.EFI")
}

// volume is the identifier of the EFI system partition's file system, as blkid(8)
// writes it.
func (b *builder) volume() string {
	id := b.id("esp file system")
	return fmt.Sprintf("%X-%X", id[0:2], id[2:4])
}

// Places in what a BIOS loads (GRUB's include/grub/i386/pc/boot.h).
const (
	sector           = 512
	bootCode         = 440  // bytes of boot.img; the disk's own follow
	bootKernelSector = 0x5c // in boot.img: where core.img begins
	bootDriveCheck   = 0x66 // a jump, without which it trusts the BIOS's drive
	coreBlockList    = sector - 12
)

// bootSector is boot.img, which loads core.img from a sector.
func bootSector(at uint64) ([]byte, error) {
	code, err := os.ReadFile(grubPC + "/boot.img")
	if err != nil {
		return nil, err
	}
	if len(code) != sector {
		return nil, &Error{Kind: ErrBuild, Detail: fmt.Sprintf("GRUB's boot.img has %d bytes", len(code)), Advice: "install grub-pc-bin again"}
	}
	binary.LittleEndian.PutUint64(code[bootKernelSector:], at)
	code[bootDriveCheck], code[bootDriveCheck+1] = 0x90, 0x90 // nop, as grub-bios-setup does for hard disks
	return code[:bootCode], nil
}

// coreImage is core.img, which finds the rest of itself behind its first sector.
func (b *builder) coreImage(at uint64) ([]byte, error) {
	core, err := os.ReadFile(b.file("core.img"))
	if err != nil {
		return nil, err
	}
	if len(core) < sector || len(core) > biosSize {
		return nil, &Error{Kind: ErrBuild, Detail: fmt.Sprintf("GRUB's core.img has %d bytes", len(core)), Advice: "install grub-pc-bin again"}
	}
	binary.LittleEndian.PutUint64(core[coreBlockList:], at+1)
	return core, nil
}
