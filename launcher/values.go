package launcher

import (
	"regexp"
	"slices"
	"strings"

	"golang.org/x/sys/unix"

	"kvmrun/images"
	"kvmrun/launcher/firstboot"
	"kvmrun/launcher/qemu"
	"kvmrun/netplumb"
)

// Defaults for the fields of a Spec that are left zero.
const (
	DefaultMemory = 512 * Mebi
	DefaultCPUs   = 1
	minMemory     = 16 * Mebi // less, and SeaBIOS does not come up
	maxCPUs       = 255       // what xAPIC can number (Intel SDM 3A, 10.4)
	minMTU        = 576       // what every IPv4 host must take (RFC 791)
	maxMTU        = 65521     // the kernel's limit for a tap
)

// deviceName is what QEMU's device names look like: no comma can smuggle
// further options in.
var deviceName = regexp.MustCompile(`^[a-zA-Z0-9][a-zA-Z0-9._-]*$`)

// setDefaults fills in what needs no look at the host.
func (s *Spec) setDefaults() {
	setDefault(&s.Version, SpecVersion)
	setDefault(&s.Machine, qemu.Q35)
	setDefault(&s.Accel, AccelAuto)
	setDefault(&s.CPUs, DefaultCPUs)
	setDefault(&s.Memory, DefaultMemory)
	setDefault(&s.QEMU, "qemu-system-x86_64")
	setDefault(&s.Network.ProxyARP, netplumb.ProxyExact)
	setDefault(&s.Network.DHCP, DHCPBuiltin)
	setDefault(&s.Network.Model, qemu.DefaultModel)
	if s.Network.Model == "virtio" || s.Network.Model == "virtio-net" {
		s.Network.Model = qemu.DefaultModel
	}
	if s.Network.Form == "" || s.Network.Form == FormAuto {
		s.Network.Form = qemu.FormFor(s.Network.Model)
	}
	if s.FirstBoot != nil {
		own := *s.FirstBoot // the caller keeps its own
		s.FirstBoot = &own
		setDefault(&s.FirstBoot.Login, firstboot.Root)
	}
}

// setDefault gives a zero field its value.
func setDefault[T comparable](field *T, value T) {
	var zero T
	if *field == zero {
		*field = value
	}
}

// AccelAuto takes KVM where it works, and TCG otherwise.
const AccelAuto = "auto"

// FormAuto takes the form that serves the card's model best.
const FormAuto qemu.NetForm = "auto"

// check finds values that no host could make sense of.
func (s *Spec) check() error {
	if s.Version > SpecVersion {
		return fail(KindUsage, "use the kvmrun that wrote it, or a newer one",
			"the VM's description has version %d; this kvmrun knows up to %d", s.Version, SpecVersion)
	}
	if s.Name != "" {
		if err := CheckName(s.Name); err != nil {
			return err
		}
	}
	n := s.Network
	for _, c := range []struct {
		flag, value string
		allowed     []string
	}{
		{"--machine", s.Machine, []string{qemu.Q35, qemu.PC, qemu.MicroVM}},
		{"--accel", s.Accel, []string{AccelAuto, qemu.KVM, qemu.TCG}},
		{"--proxy-arp", string(n.ProxyARP), []string{string(netplumb.ProxyExact), string(netplumb.ProxyInterface), string(netplumb.ProxyOff)}},
		{"--dhcp", string(n.DHCP), []string{string(DHCPBuiltin), string(DHCPDnsmasq), string(DHCPOff)}},
		{"--dns", string(n.Names), []string{"", string(NamesGateway), string(NamesHost), string(NamesOff)}},
		{"--net-form", string(n.Form), []string{string(qemu.FormNet), string(qemu.FormNetdev)}},
	} {
		if !slices.Contains(c.allowed, c.value) {
			return fail(KindUsage, "choose one of "+strings.Join(c.allowed, ", "), "%s has no choice %q", c.flag, c.value)
		}
	}
	if err := s.checkHardware(); err != nil {
		return err
	}
	for _, part := range []func() error{s.checkUEFI, s.checkTPM, s.checkShares, s.checkFirstBoot} {
		if err := part(); err != nil {
			return err
		}
	}
	return s.checkBoot()
}

func (s *Spec) checkHardware() error {
	n := s.Network
	switch {
	case !deviceName.MatchString(n.Model):
		return fail(KindUsage, "see qemu-system-x86_64 -nic model=help", "--model %q is not a card's name", n.Model)
	case s.Machine == qemu.MicroVM && !qemu.IsVirtio(n.Model):
		return fail(KindUsage, "use --machine q35, or a virtio card", "microvm has no PCI for a card of model %s", n.Model)
	case s.Machine == qemu.MicroVM && s.Screen:
		return fail(KindUsage, "use --machine q35, or leave --vnc out", "microvm has no place for a screen")
	case s.Machine == qemu.MicroVM && n.Form == qemu.FormNet:
		return fail(KindUsage, "use --net-form netdev", "microvm cannot take its card in the classic form")
	case s.CPUs < 1 || s.CPUs > maxCPUs:
		return fail(KindUsage, "give 1 to 255", "--cpus %d is not a number of processors", s.CPUs)
	case s.Memory < minMemory:
		return fail(KindUsage, "give at least "+FormatSize(minMemory), "--memory %s is too little for a guest", FormatSize(s.Memory))
	case s.Memory%Mebi != 0:
		return fail(KindUsage, "give whole mebibytes", "--memory %s is not a whole number of mebibytes", FormatSize(s.Memory))
	case n.MTU != 0 && (n.MTU < minMTU || n.MTU > maxMTU):
		return fail(KindUsage, "give 576 to 65521 bytes", "--mtu %d is out of range", n.MTU)
	}
	return checkMemory(s.Memory)
}

// checkMemory refuses what this host could never back.
func checkMemory(bytes int64) error {
	var info unix.Sysinfo_t
	if err := unix.Sysinfo(&info); err != nil {
		return err
	}
	total := int64(info.Totalram+info.Totalswap) * int64(info.Unit)
	if bytes > total {
		return fail(KindUsage, "give less", "--memory %s is more than this host has (%s)",
			FormatSize(bytes), FormatSize(total/Mebi*Mebi))
	}
	return nil
}

func (s *Spec) checkBoot() error {
	if len(s.Disks) == 0 && s.Boot.Kernel == "" && len(s.Extra) == 0 {
		return fail(KindUsage, "name a disk image, or a kernel by --kernel", "there is nothing to boot from")
	}
	if s.Boot.Kernel == "" && (s.Boot.Initrd != "" || s.Boot.Append != "") {
		return fail(KindUsage, "name the kernel too", "--initrd and --append go with --kernel")
	}
	for _, d := range s.Disks {
		if d.Format != "" && d.Format != images.QCOW2 && d.Format != images.Raw {
			return fail(KindUsage, "choose qcow2 or raw, and convert others by qemu-img convert -O qcow2",
				"--format has no choice %q", d.Format)
		}
	}
	return nil
}
