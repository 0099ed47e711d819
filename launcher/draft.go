package launcher

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"

	"golang.org/x/sys/unix"

	"kvmrun/images"
	"kvmrun/images/store"
	"kvmrun/launcher/disks"
	"kvmrun/launcher/identity"
	"kvmrun/launcher/qemu"
	"kvmrun/netplumb"
)

// draft is a Spec on its way to completion: checked against the host, but
// with nothing reserved yet. Name, address and user ID may still be open.
type draft struct {
	spec   Spec
	base   string       // what a name is made from
	asked  Network      // before address and MAC were chosen
	pool   netip.Prefix // what an address is chosen from
	rivals []netip.Addr // which others on the LAN have
	notes  []string     // what the user may not expect
	host   *netplumb.Host
	facts  netplumb.Facts
	// routers are addresses of the LAN's that no guest may have.
	routers map[netip.Addr]bool
	images  *store.Store
	kept    disks.Record  // what is kept under the VM's name, if that is known, as it was
	disks   *disks.Folder // with the lock of what is kept; nil until that is taken
	// identity is this host's secret, if the guest is to have keys and there is one.
	identity *identity.Identity
}

// draft completes the Spec as far as looking goes. It changes nothing.
func (l *Launcher) draft(spec Spec) (*draft, error) {
	d := &draft{spec: spec, images: l.imageStore()}
	d.spec.setDefaults()
	if err := d.spec.check(); err != nil {
		return nil, err
	}
	var err error
	if d.kept, err = l.kept(d.spec.Name); err != nil {
		return nil, err
	}
	for _, step := range []func() error{d.findQEMU, d.findDnsmasq, d.findImages, d.findFirmware, d.findSwtpm, d.findShares, d.findFirstBoot, d.chooseAccel} {
		if err := step(); err != nil {
			return nil, err
		}
	}
	host, err := netplumb.OpenHost(l.root.Net())
	if err != nil {
		return nil, err
	}
	d.host = host
	if err := d.findNetwork(); err != nil {
		d.close()
		return nil, err
	}
	d.asked = d.spec.Network
	return d, nil
}

func (d *draft) close() { _ = d.host.Close() }

func (d *draft) note(format string, args ...any) {
	d.notes = append(d.notes, fmt.Sprintf(format, args...))
}

// findQEMU makes the program's name an absolute path.
func (d *draft) findQEMU() error {
	path, err := exec.LookPath(d.spec.QEMU)
	if err != nil {
		return fail(KindHost, "install it (Debian: apt install qemu-system-x86), or name another by --qemu",
			"QEMU is not here: %s: %w", d.spec.QEMU, errors.Unwrap(err))
	}
	d.spec.QEMU, err = fromHere(path)
	return err
}

// findDnsmasq makes sure that there is a dnsmasq if one is wanted.
func (d *draft) findDnsmasq() error {
	if d.spec.Network.DHCP != DHCPDnsmasq {
		return nil
	}
	if _, err := exec.LookPath("dnsmasq"); err != nil {
		return fail(KindHost, "install it (Debian: apt install dnsmasq-base), or leave --dhcp dnsmasq out", "dnsmasq is not here")
	}
	return nil
}

// findImages makes paths absolute and looks at what they name.
func (d *draft) findImages() error {
	s := &d.spec
	seen := make(map[images.ID]string)
	for i := range s.Disks {
		disk := &s.Disks[i]
		if stored, err := d.findStored(i); err != nil {
			return err
		} else if stored {
			continue
		}
		if err := absolute(&disk.Path); err != nil {
			return err
		}
		if _, stored := d.images.DigestOf(disk.Path); stored && !disk.Ephemeral {
			return fail(KindImage, "say --ephemeral, or write to a copy",
				"%s is an image of the store, which is never written to", disk.Path)
		}
		id, err := d.examine(disk)
		if err != nil {
			return err
		}
		if first, twice := seen[id]; twice && !disk.Ephemeral {
			return fail(KindImageInUse, "give each disk an image of its own", "%s and %s are one image", first, disk.Path)
		}
		seen[id] = disk.Path
	}
	for _, file := range []*string{&s.Boot.Kernel, &s.Boot.Initrd} {
		if err := absolute(file); err != nil {
			return err
		}
		if err := readable("", *file, KindImage); err != nil {
			return err
		}
	}
	if err := checkKernel(s.Boot.Kernel); err != nil {
		return err
	}
	s.Boot.Firmware = firmwareFor(s, microVMFirmware)
	d.base = "vm"
	if len(s.Disks) > 0 && s.Disks[0].Image != "" {
		d.base = roomy(s.Disks[0].Image)
	} else if image := s.image(); image != "" {
		d.base = nameFor(image)
	}
	return nil
}

// examine finds out what a disk's image is.
func (d *draft) examine(disk *Disk) (images.ID, error) {
	chain, err := OpenDisk(*disk, d.spec.AllowBacking)
	if err != nil {
		return images.ID{}, err
	}
	disk.Format = chain.Layers[0].Format
	if has := chain.VirtualSize(); disk.Size != 0 && disk.Size < has {
		_ = chain.Close()
		return images.ID{}, fail(KindUsage, "give more", "--disk-size %s is less than %s has, %s", FormatSize(disk.Size), disk.Path, FormatSize(has))
	}
	return chain.ID(), chain.Close()
}

// maxFileName is what the common file systems let a file be called, in bytes.
const maxFileName = unix.NAME_MAX

// absolute makes a path absolute; an empty one stays empty.
func absolute(path *string) (err error) {
	if len(filepath.Base(*path)) > maxFileName || len(*path) >= unix.PathMax {
		return fail(KindImage, "check the path", "%.40q… has %d characters, which no file's name can have", *path, len(*path))
	}
	if *path != "" {
		*path, err = fromHere(*path)
	}
	return err
}

// fromHere makes a path absolute. Only a relative one needs a working directory,
// which may have been removed under a shell.
func fromHere(path string) (string, error) {
	whole, err := filepath.Abs(path)
	if err != nil {
		return "", fail(KindUsage, "go to another directory, or give an absolute path",
			"%s cannot be found from the working directory, which is gone: %w", path, err)
	}
	return whole, nil
}

// readable checks a file that is named: one that is none of any use is a failure of
// the given kind. The flag that named it, if any, goes into the message.
func readable(flag, path string, kind Kind) error {
	if path == "" {
		return nil
	}
	what := strings.TrimLeft(flag+" "+path, " ")
	info, err := os.Stat(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return fail(kind, "check the path", "%s does not exist", what)
	case err != nil:
		return fail(kind, "", "%s: %w", what, err)
	case !info.Mode().IsRegular():
		return fail(kind, "name a file", "%s is not a regular file", what)
	case info.Size() == 0:
		return fail(kind, "name another", "%s is empty", what)
	}
	return nil
}

// checkKernel makes sure that a kernel is one, which QEMU does not.
func checkKernel(path string) error {
	if path == "" {
		return nil
	}
	f, err := os.Open(path)
	if err != nil {
		return &Error{Kind: KindImage, Err: err}
	}
	defer func() { _ = f.Close() }()
	header := make([]byte, qemu.KernelHeader)
	n, err := io.ReadFull(f, header)
	if err != nil && !errors.Is(err, io.ErrUnexpectedEOF) {
		return &Error{Kind: KindImage, Err: fmt.Errorf("read %s: %w", path, err)}
	}
	if !qemu.IsKernel(header[:n]) {
		return fail(KindImage, "name a bzImage, as /boot/vmlinuz is one; a disk image goes without --kernel",
			"%s is not a kernel that QEMU can load", path)
	}
	return nil
}

// microVMFirmware is the SeaBIOS that knows microvm's disks, as Debian and Fedora
// install it.
const microVMFirmware = "/usr/share/seabios/bios-microvm.bin"

// firmwareFor chooses a microvm's firmware where it has to boot a disk. Debian 12
// puts qboot in SeaBIOS's place, which boots kernels alone.
func firmwareFor(s *Spec, seabios string) string {
	if s.Machine != qemu.MicroVM || s.Boot.Kernel != "" || slices.Contains(s.Extra, "-bios") {
		return ""
	}
	if info, err := os.Stat(seabios); err != nil || !info.Mode().IsRegular() {
		return "" // QEMU's own may be as good
	}
	return seabios
}

// OpenDisk opens a disk's chain of images, and makes sure that nobody's QEMU
// has it in a way that excludes ours. An ephemeral disk is only read.
func OpenDisk(d Disk, allowBacking bool) (*images.Chain, error) {
	o := images.Options{Format: d.Format, ReadOnly: d.Ephemeral, AllowBacking: allowBacking}
	if d.Kept() {
		o.Base = d.Base
	}
	chain, err := images.Open(d.Path, o)
	if err != nil {
		return nil, err
	}
	if err := chain.CheckUnused(); err != nil {
		_ = chain.Close()
		if errors.Is(err, images.ErrInUse) {
			err = ErrImageInUse(d)
		}
		return nil, err
	}
	return chain, nil
}

// ErrImageInUse explains QEMU's lock on an image.
func ErrImageInUse(d Disk) error {
	advice := "stop the other VM, or start every VM that uses the image with --ephemeral, which only reads it"
	return fail(KindImageInUse, advice,
		"%s is in use by another QEMU, which holds its lock so that two guests cannot ruin the disk", d.Path)
}

// chooseAccel takes KVM where it works.
func (d *draft) chooseAccel() error {
	s := &d.spec
	if s.Accel == qemu.TCG {
		return nil
	}
	err := qemu.CheckKVM()
	switch {
	case err == nil:
		s.Accel = qemu.KVM
	case s.Accel == qemu.KVM:
		return &Error{Kind: KindHost, Err: fmt.Errorf("KVM does not work here: %w", err),
			Advice: "leave --accel out to emulate the processor by TCG, which is many times slower"}
	default:
		s.Accel = qemu.TCG
		d.note("KVM does not work here (%v): the processor is emulated by TCG, which is many times slower", err)
	}
	return nil
}

// preview chooses what is open without reserving it, for --dry-run.
func (l *Launcher) preview(d *draft) error {
	if err := l.readIdentity(d); err != nil {
		return err
	}
	if err := l.chooseName(d); err != nil {
		return err
	}
	kept, err := l.kept(d.spec.Name)
	if err != nil {
		return err
	}
	if err := checkKept(kept, &d.spec); err != nil {
		return err
	}
	if d.kept = kept; len(kept.Disks) > 0 {
		d.spec.UUID = kept.UUID
	}
	return l.chooseRest(d)
}

// aliasWord begins the alias of every tap, before the VM's name and UUID.
const aliasWord = "kvmrun"

// NetConfig is the network that a completed Spec asks of the host.
func (s *Spec) NetConfig() netplumb.Config {
	n := s.Network
	return netplumb.Config{
		Address: n.IP, Subnet: n.Subnet, Gateway: n.Gateway, MAC: n.MAC,
		Tap: n.Tap, Alias: aliasWord + " " + s.Name + " " + s.UUID,
		Uplink: n.Uplink, ProxyARP: n.ProxyARP, MTU: n.MTU, Queues: 1,
		VnetHdr: n.Form == qemu.FormNetdev && qemu.IsVirtio(n.Model),
		TapUID:  int(s.RunAs.UID), TapGID: int(s.RunAs.GID),
	}
}
