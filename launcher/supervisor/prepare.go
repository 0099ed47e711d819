package supervisor

import (
	"context"
	"fmt"
	"os"

	"kvmrun/images"
	"kvmrun/images/seed"
	"kvmrun/launcher"
	"kvmrun/launcher/identity"
	"kvmrun/launcher/qemu"
	"kvmrun/launcher/vmdir"
)

// prepare opens everything that QEMU is to be handed and sets up the host's
// network. It returns QEMU's configuration in terms of the descriptors.
func (s *supervisor) prepare(ctx context.Context, h *handover) (qemu.Config, error) {
	config := s.spec.QEMUConfig()
	for i, disk := range s.spec.Disks {
		layers, err := s.openDisk(disk, h)
		if err != nil {
			return config, err
		}
		config.Disks[i].Layers = layers
	}
	if err := s.shareDisks(h); err != nil {
		return config, err
	}
	if err := s.openSeed(&config, h); err != nil {
		return config, err
	}
	if err := s.openBoot(&config, h); err != nil {
		return config, err
	}
	if err := s.openFirmware(&config, h); err != nil {
		return config, err
	}
	if err := s.openSockets(&config, h); err != nil {
		return config, err
	}
	if err := s.openAgentPort(&config, h); err != nil {
		return config, err
	}
	if err := s.plan(); err != nil {
		return config, err
	}
	taps, err := s.state.Plan.Apply(ctx, s.host)
	if err != nil {
		return config, err
	}
	for _, tap := range taps {
		config.NIC.Tap.FDs = append(config.NIC.Tap.FDs, h.give(tap))
	}
	s.openVhost(&config, h)
	s.openVSock(&config, h)
	config.Sets = h.sets
	return config, nil
}

// openDisk opens a disk's layers and, where writes are to be thrown away, puts
// an overlay without a name on top, which vanishes with QEMU. It lies in the
// data directory, because the run directory is in memory as a rule.
func (s *supervisor) openDisk(disk launcher.Disk, h *handover) ([]qemu.Layer, error) {
	chain, err := launcher.OpenDisk(disk, s.spec.AllowBacking)
	if err != nil {
		return nil, err
	}
	err = growDisk(disk, chain)
	if disk.Ephemeral {
		err = s.cover(chain, disk.Size)
	}
	if err != nil {
		_ = chain.Close()
		return nil, err
	}
	layers := make([]qemu.Layer, len(chain.Layers))
	for i, l := range chain.Layers {
		layers[i] = qemu.Layer{
			Source: h.source(l.File), Format: string(l.Format),
			Block: l.Info.Device, ReadOnly: l.ReadOnly,
		}
	}
	return layers, nil
}

func (s *supervisor) cover(chain *images.Chain, size int64) error {
	dir := launcher.OverlayDir(s.data)
	err := os.MkdirAll(dir, 0o700)
	if err == nil {
		err = chain.Cover(dir, size)
	}
	if err != nil {
		return &launcher.Error{Kind: launcher.KindStorage, Err: err, Advice: "choose another by --data-dir"}
	}
	return nil
}

// openSeed makes the disk by which cloud-init learns what it is to be.
func (s *supervisor) openSeed(config *qemu.Config, h *handover) error {
	if s.spec.FirstBoot == nil {
		return nil
	}
	id, err := identity.Read(s.data)
	if err != nil {
		return err
	}
	files, err := s.spec.SeedFiles(id)
	if err != nil {
		return err
	}
	disk, err := seed.New(s.dir.Path, files)
	if err != nil {
		return err
	}
	config.Disks = append(config.Disks, launcher.SeedDisk(h.source(disk)))
	return nil
}

func (s *supervisor) openBoot(config *qemu.Config, h *handover) (err error) {
	if config.Boot.Kernel, err = h.plain(s.spec.Boot.Kernel); err != nil {
		return err
	}
	config.Boot.Initrd, err = h.plain(s.spec.Boot.Initrd)
	return err
}

// openSockets makes the sockets on which QEMU will listen, and the console's
// log. They exist before QEMU does, so that whoever connects need not retry.
func (s *supervisor) openSockets(config *qemu.Config, h *handover) error {
	for i, name := range []string{vmdir.OwnSocket, vmdir.MonitorSocket} {
		socket, err := s.dir.Listen(name)
		if err != nil {
			return err
		}
		config.Monitors[i].FD = h.give(socket)
	}
	socket, err := s.dir.Listen(vmdir.ConsoleSocket)
	if err != nil {
		return err
	}
	config.Console.Socket.FD = h.give(socket)
	log, err := os.OpenFile(s.dir.File(vmdir.ConsoleLog), os.O_WRONLY|os.O_APPEND|os.O_CREATE, 0o600)
	if err != nil {
		return fmt.Errorf("console log: %w", err)
	}
	config.Console.Log = h.source(log)
	return nil
}

// vhostDevice moves packets between tap and guest in the kernel.
const vhostDevice = "/dev/vhost-net"

// openVhost uses vhost where the card's form can and the host has it. Without
// it the guest only is slower.
func (s *supervisor) openVhost(config *qemu.Config, h *handover) {
	if config.NIC.Form != qemu.FormNetdev || !qemu.IsVirtio(config.NIC.Model) {
		return
	}
	for range config.NIC.Tap.FDs {
		f, err := os.OpenFile(vhostDevice, os.O_RDWR, 0)
		if err != nil {
			config.NIC.Tap.VhostFDs = nil
			return
		}
		config.NIC.Tap.VhostFDs = append(config.NIC.Tap.VhostFDs, h.give(f))
	}
	s.state.Vhost = true
}

// vsockDevice gives a guest its address in the vsock family.
const vsockDevice = "/dev/vhost-vsock"

// openVSock uses that where the host has it. (This has never run so far.)
func (s *supervisor) openVSock(config *qemu.Config, h *handover) {
	if s.spec.CID == 0 {
		return
	}
	if f, err := os.OpenFile(vsockDevice, os.O_RDWR, 0); err == nil {
		config.VSock, config.CID = h.give(f), s.spec.CID
	}
}
