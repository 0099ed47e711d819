package launcher

import (
	"encoding/base64"
	"fmt"
	"io/fs"
	"net/netip"
	"os"
	"slices"
	"strings"

	"kvmrun/images"
	"kvmrun/images/seed"
	"kvmrun/launcher/qemu"
	"kvmrun/netplumb"
	"kvmrun/netplumb/dhcp"
)

// script writes what Start would do as commands that a person could type. What
// the supervisor hands QEMU as open descriptors the shell opens by redirection,
// with root's rights, before QEMU starts without them.
func script(s *Spec, network *netplumb.Plan, chains []*images.Chain, own *scriptDisks, documents *seed.Files, d devices) (text string, command []string, err error) {
	steps, err := network.Commands()
	if err != nil {
		return "", nil, err
	}
	w := &scriptWriter{folder: "/run/kvmrun-by-hand-" + s.Name, fd: firstScriptFD}
	fmt.Fprintf(w, scriptHead, s.Name, s.Network.IP)
	w.step("a folder for sockets and the console's log, which QEMU's own user may write",
		[]string{"mkdir -m 0700 " + w.folder, fmt.Sprintf("chown %d:%d %s", s.RunAs.UID, s.RunAs.GID, w.folder)},
		[]string{"rm -r " + w.folder})
	w.openTun(d.tun)
	for _, c := range steps {
		w.step(c.Step, c.Do, c.Undo)
	}
	if err := w.dhcp(s, network); err != nil {
		return "", nil, err
	}
	if own != nil {
		w.keptDisks(own)
	}
	w.comment("the files that QEMU gets as open descriptors")
	config := w.config(s, chains, own)
	if documents != nil {
		config.Disks = append(config.Disks, SeedDisk(w.seed(documents)))
		config.Sets = w.sets
	}
	w.comment("QEMU, as a user of its own without any privilege")
	w.undo(`kill $(jobs -p) 2>/dev/null; wait`)
	fmt.Fprintln(w, wrap(append(dropPrivileges(s, d.kvmGroup), config.Args()...)), "<&0 &")
	fmt.Fprintln(w, "wait $!")
	return w.String(), config.Args(), nil
}

// devices are what a script depends on of the host's /dev.
type devices struct {
	tun      fs.FileMode // the permission bits of /dev/net/tun
	kvmGroup uint32      // the group that may open /dev/kvm; 0 if everybody or nobody may
}

const tun = "/dev/net/tun"

// lookAtDevices finds out what a script depends on. What is missing shows when
// the script runs.
func lookAtDevices() (d devices) {
	d.tun = 0o666
	if info, err := os.Stat(tun); err == nil {
		d.tun = info.Mode().Perm()
	}
	if group, err := qemu.KVMGroup(); err == nil {
		d.kvmGroup = group
	}
	return d
}

// scriptHead begins a script. Each step that is done adds to what will be
// undone, in reverse, however the script ends. QEMU is waited for in the
// background, because a shell that is told to end while a command runs in the
// foreground leaves that command behind.
const scriptHead = `#!/bin/bash
# VM %s at %s: what "kvmrun start" does, by hand. Run it as root.
# It returns when the VM has ended, and undoes what it did.
# Not for a host with other VMs of kvmrun's or of such scripts: it counts on
# being the only one that changes the uplink, and takes back what they need.
# shellcheck disable=SC2016,SC2034 # what undo holds is expanded when it is run
set -eu
undo=()
finish() {
    set +e
    trap '' INT TERM HUP
    for ((n = ${#undo[@]} - 1; n >= 0; n--)); do eval "${undo[n]}"; done
}
trap finish EXIT
trap 'exit 130' INT
trap 'exit 143' TERM
trap 'exit 129' HUP
`

// firstScriptFD leaves the descriptors that shells use themselves alone.
const firstScriptFD = 20

// scriptWriter writes a script and counts what it opens.
type scriptWriter struct {
	strings.Builder
	folder string
	fd     int
	sets   []qemu.FDSet
}

func (w *scriptWriter) comment(text string) { fmt.Fprintf(w, "\n# %s\n", text) }

// step writes commands, and notes what undoes them.
func (w *scriptWriter) step(comment string, do, undo []string) {
	w.comment(comment)
	for _, command := range do {
		fmt.Fprintln(w, command)
	}
	for _, command := range undo {
		w.undo(command)
	}
}

func (w *scriptWriter) undo(command string) { fmt.Fprintf(w, "undo+=(%s)\n", quote(command)) }

// openTun lets QEMU's user open the tap by its name, as most systems let
// everybody: attaching to a tap takes being its owner anyway. The supervisor
// needs none of this, as it hands over an open tap.
func (w *scriptWriter) openTun(mode fs.FileMode) {
	if mode&0o006 == 0o006 {
		return
	}
	w.step("let QEMU's user open "+tun, []string{"chmod 0666 " + tun}, []string{fmt.Sprintf("chmod %04o %s", mode, tun)})
}

// open has the shell open a file and returns the descriptor.
func (w *scriptWriter) open(mode, path string) int {
	fd := w.fd
	w.fd++
	fmt.Fprintf(w, "exec %d%s%s\n", fd, mode, quote(path))
	return fd
}

// source is open for a file that QEMU opens as /dev/fdset/N.
func (w *scriptWriter) source(mode, path string) qemu.Source {
	set := qemu.FDSet{FD: w.open(mode, path), Set: len(w.sets) + 1}
	w.sets = append(w.sets, set)
	return qemu.Source(fmt.Sprintf("/dev/fdset/%d", set.Set))
}

// config is QEMU's configuration in terms of names and the shell's descriptors.
func (w *scriptWriter) config(s *Spec, chains []*images.Chain, own *scriptDisks) qemu.Config {
	c := s.QEMUConfig()
	for i, chain := range chains {
		c.Disks[i].Layers = w.layers(own, s.Disks[i], chain, i)
	}
	for _, file := range []struct {
		path   string
		source *qemu.Source
	}{{s.Boot.Kernel, &c.Boot.Kernel}, {s.Boot.Initrd, &c.Boot.Initrd}} {
		if file.path != "" {
			*file.source = qemu.Source(fmt.Sprintf("/proc/self/fd/%d", w.open("<", file.path)))
		}
	}
	w.firmware(s.UEFI, own, &c)
	c.NIC.Tap.Name = s.Network.Tap
	c.Monitors = c.Monitors[1:] // there is no supervisor
	c.Monitors[0].Path = w.folder + "/qmp.sock"
	c.Console.Socket.Path = w.folder + "/console.sock"
	c.Console.Log = qemu.Source(w.folder + "/console.log")
	if c.Screen != nil {
		c.Screen.VNC = w.folder + "/vnc.sock"
	}
	c.Agent = w.agent(s)
	c.TPM = w.tpm(s)
	c.Shares = w.shares(s)
	c.Sets = w.sets
	return c
}

// agent makes the pipes to the guest agent's port.
func (w *scriptWriter) agent(s *Spec) qemu.Source {
	pipes := w.folder + "/agent"
	fmt.Fprintf(w, "mkfifo -m 0600 %s.in %s.out && chown %d:%d %s.in %s.out\n", pipes, pipes, s.RunAs.UID, s.RunAs.GID, pipes, pipes)
	return qemu.Source(pipes)
}

func (w *scriptWriter) layers(own *scriptDisks, disk Disk, chain *images.Chain, n int) []qemu.Layer {
	var layers []qemu.Layer
	if disk.Kept() {
		layers = w.overlay(own, disk, chain, n)
	}
	if disk.Ephemeral {
		overlay := fmt.Sprintf("%s/overlay%d.qcow2", w.folder, n)
		fmt.Fprintf(w, "qemu-img create -q -f qcow2 %s %d\n", overlay, max(disk.Size, chain.VirtualSize()))
		layers = append(layers, qemu.Layer{Source: w.source("<>", overlay), Format: string(images.QCOW2)})
		fmt.Fprintf(w, "rm %s\n", overlay)
	}
	for _, l := range chain.Layers {
		mode := "<>"
		if l.ReadOnly {
			mode = "<"
		}
		layers = append(layers, qemu.Layer{
			Source: w.source(mode, l.Info.Path), Format: string(l.Format),
			Block: l.Info.Device, ReadOnly: l.ReadOnly,
		})
	}
	return layers
}

// seed makes the disk by which cloud-init learns what it is to be. It holds secrets, as
// the script does.
func (w *scriptWriter) seed(documents *seed.Files) qemu.Source {
	folder, disk := w.folder+"/seed", w.folder+"/seed.iso"
	fmt.Fprintf(w, "mkdir -m 0700 %s\n", folder)
	for name, content := range documents.All() {
		fmt.Fprintf(w, "base64 -d >%s/%s <<.\n%s.\n", folder, name, base64Lines(content))
	}
	fmt.Fprintf(w, "genisoimage -quiet -rock -volid %s -output %s %s\n", seed.Label, disk, folder)
	source := w.source("<", disk)
	fmt.Fprintf(w, "rm -r %s %s\n", folder, disk)
	return source
}

// base64Lines is what base64(1) writes.
func base64Lines(content []byte) string {
	const width = 76
	text := base64.StdEncoding.EncodeToString(content)
	var b strings.Builder
	for line := range slices.Chunk([]byte(text), width) {
		b.Write(line)
		b.WriteByte('\n')
	}
	return b.String()
}

// dhcp is a dnsmasq, which does by hand what the supervisor does by itself.
func (w *scriptWriter) dhcp(s *Spec, network *netplumb.Plan) error {
	if s.Network.DHCP == DHCPOff {
		return nil
	}
	pid := w.folder + "/dnsmasq.pid"
	command, err := dhcp.DnsmasqShell(s.DHCPConfig(network.TapAddress), pid)
	if err != nil {
		return err
	}
	w.step("DHCP for this guest alone", []string{command}, []string{`kill "$(cat ` + pid + `)"`})
	return nil
}

// DHCPConfig is what the guest of a completed Spec is told of its network by a
// server that goes by the given address.
func (s *Spec) DHCPConfig(server netip.Addr) dhcp.Config {
	n := s.Network
	return dhcp.Config{
		Interface: n.Tap, MAC: n.MAC.HardwareAddr(),
		Address: netip.PrefixFrom(n.IP, n.Subnet.Bits()),
		Router:  n.Gateway, DNS: n.nameServers(), Search: n.Search, HostName: s.hostName(),
		MTU: n.MTU, ServerID: server,
	}
}

// dropPrivileges is what the supervisor asks of the kernel when it starts QEMU,
// as a command (setpriv(1) of util-linux).
func dropPrivileges(s *Spec, kvmGroup uint32) []string {
	groups := "--clear-groups"
	if s.Accel == qemu.KVM && kvmGroup != 0 {
		groups = fmt.Sprintf("--groups=%d", kvmGroup)
	}
	return []string{
		"setpriv", fmt.Sprintf("--reuid=%d", s.RunAs.UID), fmt.Sprintf("--regid=%d", s.RunAs.GID),
		groups, "--no-new-privs", "--",
	}
}

// wrap writes a command with each option and its value on a line of their own.
func wrap(args []string) string {
	var b strings.Builder
	for i, arg := range args {
		switch {
		case i == 0:
		case strings.HasPrefix(arg, "-"):
			b.WriteString(" \\\n    ")
		default:
			b.WriteString(" ")
		}
		b.WriteString(quote(arg))
	}
	return b.String()
}

// quote makes one word of the shell's of any text.
func quote(text string) string {
	plain := text != "" && !strings.ContainsFunc(text, func(r rune) bool {
		return !strings.ContainsRune("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_=+.,:/@%", r)
	})
	if plain {
		return text
	}
	return "'" + strings.ReplaceAll(text, "'", `'\''`) + "'"
}
