package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"kvmrun/images"
	"kvmrun/launcher"
	"kvmrun/launcher/qemu"
	"kvmrun/launcher/vmdir"
	"kvmrun/netplumb"
)

// startFlags are the flags of start as they are typed.
type startFlags struct {
	spec      launcher.Spec
	memory    string
	ip        string
	subnet    string
	gateway   string
	mac       string
	dns       []string
	proxyARP  string
	netForm   string
	dhcp      string
	disks     []string
	format    string
	ephemeral bool
	diskSize  string
	runAs     string
	firstBoot firstBootFlags
	devices   deviceFlags

	wait       []string
	waits      []launcher.Condition // wait, read
	timeout    time.Duration
	foreground bool
	dryRun     bool
	json       bool
}

func startCommand(a *app) *cobra.Command {
	f := new(startFlags)
	c := &cobra.Command{
		Use:   "start [IMAGE] [-- QEMU-ARGS...]",
		Short: "Start a VM from a disk image or a kernel",
		Long: `Start a VM and return when QEMU runs and the network stands, printing the VM's
name and address.

IMAGE is a file, or the name of an image in the store (kvmrun image ls): a word
without a slash is that unless there is such a file here. A file itself is
written to. An image in the store never is: the VM gets a thin overlay of its
own, which is kept when it ends. The next VM of that name goes on with it, until
kvmrun rm NAME removes it; without --name a VM never takes up a kept disk. With
--ephemeral whatever the guest writes is thrown away. The same goes for --disk.

The guest's address is the next free one of --subnet, or --ip. If it lies in a
network that the uplink is connected to, the guest becomes a neighbour of every
machine there, by proxy ARP. kvmrun first asks there whether somebody has the
address, which takes 0.6 seconds, and defends it as long as the VM runs.
Otherwise the guest lives in a subnet of its own behind this host, which other
machines reach by a route: ip route add SUBNET via HOST.

While the VM runs, its network on this host is repaired when other programs
change it, or when the uplink goes and comes back; kvmrun events tells of it.
With --no-repair it is left alone.

If the VM does not come up, or --wait is not met within --timeout, or Ctrl-C is
pressed, everything is undone before kvmrun returns. The record of a VM that
failed stays, with its logs, until the name is used again or it is stopped.`,
		Example: `  kvmrun start disk.qcow2
  kvmrun start disk.qcow2 --name web --ip 10.254.254.80 --memory 2G --cpus 2
  kvmrun start disk.qcow2 --ephemeral --wait net --json
  kvmrun start debian --name web --disk-size 20G
  kvmrun start --kernel vmlinuz --initrd initrd --append console=ttyS0 --foreground
  kvmrun start disk.qcow2 --dry-run > by-hand.sh
  kvmrun start disk.qcow2 -- -device virtio-balloon-pci`,
		Annotations: ends(launcher.KindExists, launcher.KindPermission, launcher.KindHost, launcher.KindImage,
			launcher.KindImageInUse, launcher.KindAddress, launcher.KindNetwork, launcher.KindQEMU,
			launcher.KindTimeout, launcher.KindStorage, launcher.KindEnded, launcher.KindBoot, launcher.KindGuest, launcher.KindCloudInit, launcher.KindCanceled),
		Args: startArgs,
		RunE: func(c *cobra.Command, given []string) error {
			if err := f.complete(c, given); err != nil {
				return err
			}
			return a.start(c.Context(), f)
		},
		ValidArgsFunction: func(*cobra.Command, []string, string) ([]string, cobra.ShellCompDirective) {
			return []string{"qcow2", "raw"}, cobra.ShellCompDirectiveFilterFileExt
		},
	}
	f.register(c)
	return c
}

// startArgs allows one image, and anything behind a double dash.
func startArgs(c *cobra.Command, given []string) error {
	if dash := c.ArgsLenAtDash(); dash >= 0 {
		given = given[:dash]
	}
	if len(given) > 1 {
		return usage(c, errors.New("name one image; further ones by --disk"))
	}
	return nil
}

func (f *startFlags) register(c *cobra.Command) {
	flags := c.Flags()
	s := &f.spec
	flags.SortFlags = false
	flags.StringVar(&s.Name, "name", "", "the VM's name (default: the image's, with a number if it is taken)")
	flags.StringVar(&f.ip, "ip", "", "the guest's address (default: the next free one of --subnet)")
	flags.StringVar(&f.subnet, "subnet", "", "the guests' network (default: the uplink's, if --ip lies in it; otherwise "+launcher.DefaultSubnet.String()+")")
	flags.StringVar(&f.gateway, "gateway", "", "the guests' router (default: the subnet's first address, or this host)")
	flags.StringVar(&s.Network.Uplink, "uplink", "", "interface to the LAN, or none (default: that of the default route)")
	flags.StringVar(&f.proxyARP, "proxy-arp", string(netplumb.ProxyExact), "answer ARP on the uplink for this address alone, for all (interface), or off: exact|interface|off")
	flags.BoolVar(&s.Network.NoProbe, "no-probe", false, "take an address of the LAN without asking there whether somebody has it")
	flags.StringVar(&s.Network.Model, "model", qemu.DefaultModel, "network card: virtio-net-pci, e1000, rtl8139, or another of QEMU's")
	flags.StringVar(&f.netForm, "net-form", string(launcher.FormAuto), "write the card as -net nic -net tap, or as -netdev: auto|net|netdev")
	flags.StringVar(&f.mac, "mac", "", "the card's MAC address (default: 52:54 and the four bytes of the address)")
	flags.StringSliceVar(&f.dns, "dns", nil, "name servers to tell the guest: addresses, or gateway (which knows the guests' names)|host (this host's own)|off (none) (default: gateway)")
	flags.StringVar(&f.dhcp, "dhcp", string(launcher.DHCPBuiltin), "who tells the guest its address: builtin|dnsmasq|off")
	flags.IntVar(&s.Network.MTU, "mtu", 0, "bytes in a packet (default: the uplink's)")
	flags.BoolVar(&s.Network.NoRepair, "no-repair", false, "leave the VM's network on this host as others change it, and only write events")
	flags.IntVar(&s.CPUs, "cpus", launcher.DefaultCPUs, "virtual processors")
	flags.StringVar(&f.memory, "memory", launcher.FormatSize(launcher.DefaultMemory), "memory, in units of 1024 (a number alone: MiB)")
	flags.StringVar(&s.Machine, "machine", qemu.Q35, "board: q35|pc|microvm")
	flags.StringVar(&s.CPU, "cpu", "", "processor model (default: host with KVM, max without)")
	flags.StringVar(&s.Accel, "accel", launcher.AccelAuto, "auto|kvm|tcg")
	flags.StringVar(&s.Boot.Kernel, "kernel", "", "boot this Linux kernel instead of the disk's boot loader")
	flags.StringVar(&s.Boot.Initrd, "initrd", "", "initial RAM disk for --kernel")
	flags.StringVar(&s.Boot.Append, "append", "", "command line for --kernel")
	flags.StringArrayVar(&f.disks, "disk", nil, "a further disk image (repeatable)")
	flags.StringVar(&f.format, "format", "", "format of the images, if it cannot be told: qcow2|raw")
	flags.BoolVar(&f.ephemeral, "ephemeral", false, "throw the guest's writes away")
	flags.StringVar(&f.diskSize, "disk-size", "", "size of the disk that begins with IMAGE, if it is to have more (of an overlay alone; a number alone: MiB)")
	flags.BoolVar(&s.AllowBacking, "allow-backing", false, "follow an image's backing file out of the image's folder")
	flags.StringVar(&s.QEMU, "qemu", fromEnv("KVMRUN_QEMU", "qemu-system-x86_64"), "QEMU's program (KVMRUN_QEMU)")
	flags.StringVar(&f.runAs, "run-as", "", "UID[:GID] for QEMU (default: a pair of the VM's own)")
	flags.StringVar(&s.HostName, "hostname", "", "what the guest is told that it is called (default: the VM's name)")
	f.devices.register(c)
	f.firstBoot.register(c)
	flags.StringArrayVar(&f.wait, "wait", []string{launcher.WaitRunning.String()}, "return when (repeatable; see kvmrun wait): none|"+conditionChoices)
	flags.DurationVar(&f.timeout, "timeout", 2*time.Minute, "how long to wait")
	flags.BoolVar(&f.foreground, "foreground", false, "stay, show the console; Ctrl-C stops the VM")
	flags.BoolVar(&f.dryRun, "dry-run", false, "change nothing; print a script that does the same by hand")
	flags.BoolVar(&f.json, "json", false, "print the VM as JSON")
	choices := map[string][]string{
		"proxy-arp": {"exact", "interface", "off"}, "net-form": {"auto", "net", "netdev"},
		"dhcp": {"builtin", "dnsmasq", "off"}, "dns": nameServers, "machine": {"q35", "pc", "microvm"},
		"accel": {"auto", "kvm", "tcg"}, "format": {"qcow2", "raw"},
		"model": {"virtio-net-pci", "e1000", "rtl8139"},
	}
	for flag, values := range choices {
		_ = c.RegisterFlagCompletionFunc(flag, cobra.FixedCompletions(values, cobra.ShellCompDirectiveNoFileComp))
	}
	completeConditions(c, "wait", "none")
}

// complete turns the flags into a Spec.
func (f *startFlags) complete(c *cobra.Command, given []string) error {
	s := &f.spec
	if dash := c.ArgsLenAtDash(); dash >= 0 {
		given, s.Extra = given[:dash], given[dash:]
	}
	if c.Flags().Changed("name") {
		if err := launcher.CheckName(s.Name); err != nil {
			return err
		}
	}
	for _, path := range slices.Concat(given, f.disks) { // what is behind the images are QEMU's
		if path == "" {
			return usage(c, errors.New("the image's name is empty"))
		}
		s.Disks = append(s.Disks, launcher.Disk{Path: path, Format: images.Format(f.format), Ephemeral: f.ephemeral})
	}
	var err error
	if f.diskSize != "" {
		if len(given) == 0 {
			return usage(c, errors.New("--disk-size goes with an image"))
		}
		if s.Disks[0].Size, err = launcher.ParseSize(f.diskSize); err != nil {
			return fmt.Errorf("--disk-size: %w", err)
		}
		if s.Disks[0].Size == 0 {
			return usage(c, fmt.Errorf("--disk-size %s is no disk", f.diskSize))
		}
	}
	if s.Memory, err = launcher.ParseSize(f.memory); err != nil {
		return fmt.Errorf("--memory: %w", err)
	}
	switch { // to the launcher, zero is no choice
	case s.Memory == 0:
		return usage(c, fmt.Errorf("--memory %s is too little for a guest", f.memory))
	case s.CPUs == 0:
		return usage(c, errors.New("--cpus 0 is not a number of processors"))
	}
	if f.timeout <= 0 {
		return usage(c, errors.New("--timeout must be above 0"))
	}
	if f.waits, err = launcher.ParseConditions(f.wait); err != nil {
		return fmt.Errorf("--wait: %w", err)
	}
	if f.foreground && slices.ContainsFunc(f.waits, launcher.WaitExit.Is) {
		return usage(c, errors.New("--foreground stays until the VM has ended: leave --wait exit out"))
	}
	s.Network.ProxyARP = netplumb.ProxyARP(f.proxyARP)
	s.Network.Form = qemu.NetForm(f.netForm)
	s.Network.DHCP = launcher.DHCP(f.dhcp)
	if s.FirstBoot, err = f.firstBoot.complete(c); err != nil {
		return err
	}
	if err = f.devices.complete(c, s); err != nil {
		return err
	}
	if f.runAs != "" {
		if s.RunAs, err = launcher.ParseCredentials(f.runAs); err != nil {
			return err
		}
	}
	return f.addresses(c)
}

// nameServers are the words that --dns takes in place of addresses.
var nameServers = []string{string(launcher.NamesGateway), string(launcher.NamesHost), string(launcher.NamesOff)}

// addresses reads what is written in dots and colons.
func (f *startFlags) addresses(c *cobra.Command) (err error) {
	n := &f.spec.Network
	const address = "10.254.254.2"
	bad := func(flag, text, example string) error {
		return &launcher.Error{Kind: launcher.KindAddress, Err: fmt.Errorf("--%s: %.40q is not an address", flag, text),
			Advice: "write it like " + example}
	}
	changed := c.Flags().Changed
	if changed("ip") {
		if n.IP, err = netip.ParseAddr(f.ip); err != nil {
			return bad("ip", f.ip, address)
		}
	}
	if changed("gateway") {
		if n.Gateway, err = netip.ParseAddr(f.gateway); err != nil {
			return bad("gateway", f.gateway, address)
		}
	}
	if changed("subnet") {
		if n.Subnet, err = netip.ParsePrefix(f.subnet); err != nil {
			return bad("subnet", f.subnet, launcher.DefaultSubnet.String())
		}
	}
	if changed("mac") {
		if n.MAC, err = netplumb.ParseMAC(f.mac); err != nil {
			return fmt.Errorf("--mac: %w", err)
		}
	}
	if len(f.dns) == 1 && slices.Contains(nameServers, f.dns[0]) {
		n.Names = launcher.NameServers(f.dns[0])
		return nil
	}
	for _, text := range f.dns {
		server, err := netip.ParseAddr(strings.TrimSpace(text))
		if err != nil || !server.Is4() {
			return bad("dns", text, address)
		}
		n.DNS = append(n.DNS, server)
	}
	return nil
}

// start does what the flags say.
func (a *app) start(ctx context.Context, f *startFlags) error {
	l, err := a.launcher()
	if err != nil {
		return err
	}
	if f.dryRun {
		return a.dryRun(l, f)
	}
	limited, cancel := context.WithTimeout(ctx, f.timeout)
	defer cancel()
	keepWriting()
	vm, err := l.Start(limited, f.spec, launcher.StartOptions{
		Detach: f.waits[0].Is(launcher.WaitNone) && !f.foreground,
		Note:   a.note,
	})
	if err != nil {
		return err
	}
	if err := a.waitOrStop(limited, l, vm, f.waits); err != nil {
		return err
	}
	if err := a.printStarted(l, vm, f); err != nil {
		// Nobody knows of the VM.
		return errors.Join(err, a.endNow(l, vm))
	}
	if f.foreground {
		return a.foreground(ctx, l, vm)
	}
	return nil
}

// endNow ends a VM whatever becomes of the command's own context.
func (a *app) endNow(l *launcher.Launcher, vm launcher.VM) error {
	err := l.Stop(context.Background(), vm.Name, launcher.StopOptions{Only: vm, Force: true, Note: a.note})
	if launcher.KindOf(err) == launcher.KindNotFound {
		return nil // by itself
	}
	return err
}

func (a *app) note(note string) { a.say("%s", note) }

// waitOrStop waits for the conditions that Start has not seen to. A VM that does not
// meet them is stopped again; its record stays, so that its logs can be read.
func (a *app) waitOrStop(ctx context.Context, l *launcher.Launcher, vm launcher.VM, conditions []launcher.Condition) error {
	conditions = slices.DeleteFunc(slices.Clone(conditions), func(c launcher.Condition) bool {
		return c.Is(launcher.WaitNone) || c.Is(launcher.WaitRunning)
	})
	if len(conditions) == 0 {
		return nil
	}
	done := a.busy("%s: waiting", vm.Name)
	_, err := l.WaitFor(ctx, vm, conditions...)
	done()
	switch launcher.KindOf(err) {
	case launcher.KindEnded:
		return err
	case launcher.KindCanceled:
		if failed := a.endNow(l, vm); failed != nil {
			return errors.Join(err, failed)
		}
		return &launcher.Error{Kind: launcher.KindCanceled, Op: "start " + vm.Name, Err: errors.New("interrupted; everything is undone")}
	}
	if err == nil {
		return nil
	}
	return errors.Join(err, l.Fail(context.WithoutCancel(ctx), vm, err.Error()))
}

// printStarted prints the VM, with what waiting has brought to light.
func (a *app) printStarted(l *launcher.Launcher, vm launcher.VM, f *startFlags) error {
	if !f.json {
		_, err := fmt.Fprintf(a.out, "%s %s\n", vm.Name, vm.IP)
		return err
	}
	if now, err := l.Inspect(vm.Name); err == nil && now.Run == vm.Run {
		vm = now.VM
	}
	return a.print(vm)
}

// foreground shows the console until the VM ends, and tells whether that was as
// it should be. The first Ctrl-C asks the guest to shut down, the second ends
// QEMU. If nobody can see the console any more, the VM ends, too. If it cannot be
// followed any more, its guest is asked.
func (a *app) foreground(ctx context.Context, l *launcher.Launcher, vm launcher.VM) error {
	err := l.Follow(ctx, vm, vmdir.ConsoleLog, a.out, true)
	switch {
	case err == nil:
		return l.HowEnded(vm)
	case lost(a.out) != nil:
		return errors.Join(err, a.endNow(l, vm))
	case launcher.KindOf(err) == launcher.KindCanceled:
		return a.askToEnd(l, vm)
	}
	return errors.Join(err, a.askToEnd(l, vm))
}

// askToEnd stops a VM as its guest likes it, or at the next Ctrl-C at once.
func (a *app) askToEnd(l *launcher.Launcher, vm launcher.VM) error {
	again, release := interrupts()
	defer release()
	a.say("stopping %s; Ctrl-C again ends it at once", vm.Name)
	err := l.Stop(again, vm.Name, launcher.StopOptions{Only: vm, Note: a.note})
	if again.Err() != nil {
		return a.endNow(l, vm)
	}
	if launcher.KindOf(err) == launcher.KindNotFound {
		return nil
	}
	return err
}

// dryRun prints the script, or with --json the completed Spec.
func (a *app) dryRun(l *launcher.Launcher, f *startFlags) error {
	plan, err := l.Plan(f.spec)
	if err != nil {
		return err
	}
	for _, note := range plan.Notes {
		a.say("%s", note)
	}
	if f.json {
		return a.print(plan)
	}
	_, err = io.WriteString(a.out, plan.Script)
	return err
}
