package qemu

import (
	"fmt"
	"strconv"
	"strings"
)

// Sandbox is the strictest seccomp filter that QEMU offers: no obsolete
// calls, no new privileges, no new processes, no change of its own limits.
const Sandbox = "on,obsolete=deny,elevateprivileges=deny,spawn=deny,resourcecontrol=deny"

// Args is the argument vector, the program's name first.
func (c Config) Args() []string {
	args := []string{c.Binary}
	for _, part := range [][]string{
		c.identity(), c.board(), c.descriptors(), c.monitors(), c.console(),
		c.disks(), c.firmware(), c.boot(), c.network(), c.entropy(), c.agent(), c.vsock(), c.panics(), c.screen(), c.tpm(), c.shares(), c.Extra,
	} {
		args = append(args, part...)
	}
	return args
}

// identity names the machine and sheds what QEMU would add unasked.
func (c Config) identity() []string {
	return []string{
		"-name", "guest=" + c.Name,
		"-uuid", c.UUID,
		"-nodefaults", "-no-user-config",
		"-sandbox", Sandbox,
		"-display", "none",
	}
}

// board is the machine type, its accelerator, processors and memory.
func (c Config) board() []string {
	machine := c.Machine
	if c.isPC() {
		// Without graphics SeaBIOS speaks on the serial port, so that the
		// console has the firmware's first words too. Guest memory is not
		// worth a core dump, and nobody wants VMware's mouse port.
		machine += ",graphics=off,dump-guest-core=off,vmport=off" + c.flash() + c.sharedMemory()
	} else {
		machine += ",dump-guest-core=off,rtc=on"
	}
	args := []string{
		"-machine", machine,
		"-accel", c.Accel,
		"-cpu", c.cpu(),
		"-smp", strconv.Itoa(c.CPUs),
		"-m", strconv.FormatInt(c.Memory>>20, 10) + "M",
	}
	if !c.isPC() {
		args = append(args, "-global", "virtio-mmio.force-legacy=false")
	}
	return args
}

// cpu is the widest processor that the accelerator offers. Under TCG
// five-level paging is left out: it makes every walk of the page tables
// longer, and no guest here has 64 TiB.
func (c Config) cpu() string {
	switch {
	case c.CPU != "":
		return c.CPU
	case c.Accel == KVM:
		return "host"
	default:
		return "max,la57=off"
	}
}

// isPC tells the machines with PCI and SeaBIOS from microvm.
func (c Config) isPC() bool { return c.Machine != MicroVM }

// virtio is the name of a virtio device on the machine's virtio transport.
func (c Config) virtio(kind string) string {
	if c.isPC() {
		return "virtio-" + kind + "-pci"
	}
	return "virtio-" + kind + "-device"
}

func (c Config) descriptors() []string {
	var args []string
	for _, s := range c.Sets {
		args = append(args, "-add-fd", fmt.Sprintf("fd=%d,set=%d", s.FD, s.Set))
	}
	return args
}

func (c Config) monitors() []string {
	var args []string
	for _, m := range c.Monitors {
		args = append(args,
			"-chardev", m.chardev(),
			"-mon", "mode=control,chardev="+m.ID)
	}
	return args
}

func (c Config) console() []string {
	s := c.Console.Socket
	return []string{
		"-chardev", s.chardev() + ",logfile=" + escape(string(c.Console.Log)) + ",logappend=on",
		"-serial", "chardev:" + s.ID,
	}
}

// chardev is the socket as a character device that nobody has to be
// connected to.
func (s Socket) chardev() string {
	where := "path=" + escape(s.Path)
	if s.FD != 0 {
		where = "fd=" + strconv.Itoa(s.FD)
	}
	return "socket,id=" + s.ID + "," + where + ",server=on,wait=off"
}

func (c Config) boot() []string {
	var args []string
	if c.Boot.Firmware != "" {
		args = append(args, "-bios", c.Boot.Firmware)
	}
	if c.Boot.Kernel != "" {
		args = append(args, "-kernel", string(c.Boot.Kernel))
	}
	if c.Boot.Initrd != "" {
		args = append(args, "-initrd", string(c.Boot.Initrd))
	}
	if c.Boot.Append != "" {
		args = append(args, "-append", c.Boot.Append)
	}
	return args
}

// entropy gives the guest random numbers of QEMU's own generator, which
// needs no file of the host's.
func (c Config) entropy() []string {
	return []string{
		"-object", "rng-builtin,id=rng0",
		"-device", c.virtio("rng") + ",rng=rng0",
	}
}

// panics has QEMU tell of a guest's kernel that panics, and do no more: what becomes
// of the guest then is for its kernel to say (panic=, kdump). The device is an ISA one,
// which takes no slot that others would move for; microvm has none (docs of QEMU:
// specs/pvpanic).
func (c Config) panics() []string {
	if !c.isPC() {
		return nil
	}
	return []string{"-action", "panic=none", "-device", "pvpanic"}
}

// escape doubles commas, which otherwise end a value in QEMU's option syntax.
func escape(value string) string { return strings.ReplaceAll(value, ",", ",,") }
