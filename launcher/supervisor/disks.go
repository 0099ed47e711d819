package supervisor

import (
	"errors"
	"os"

	"kvmrun/images"
	"kvmrun/launcher"
	"kvmrun/launcher/disks"
)

// inheritDisks takes the lock of the VM's kept disks from whoever started it.
func (s *supervisor) inheritDisks(lock *os.File) (err error) {
	if lock != nil {
		s.disks, err = disks.At(s.data).Inherit(s.dir.Name, lock)
	}
	return err
}

// shareDisks has QEMU inherit the lock of the VM's kept disks: it lasts as long as QEMU
// does, whatever becomes of this process. QEMU can do nothing else with it.
func (s *supervisor) shareDisks(h *handover) error {
	if s.disks == nil {
		return nil
	}
	lock, err := s.disks.Share()
	if err == nil {
		h.give(lock)
	}
	return err
}

// disksRan writes down that the guest has run with its disks: they are kept from now on.
// If that cannot be, one that the guest has written to is kept all the same.
func (s *supervisor) disksRan() {
	if s.disks != nil {
		s.settle(errors.Join(s.disks.MarkRan(), s.closeDisks()))
	}
}

// dropDisks removes disks that no guest has run with, now that QEMU is gone.
func (s *supervisor) dropDisks() {
	var err error
	if s.disks != nil {
		_, err = s.disks.DropUnused(false)
		err = errors.Join(err, s.closeDisks())
	} else {
		err = launcher.DropDisks(s.data, &s.spec)
	}
	if err != nil {
		s.log.Error("a disk that no guest has run with may be left", "err", err)
	}
}

// closeDisks gives this process's share of the lock back.
func (s *supervisor) closeDisks() error {
	if s.disks == nil {
		return nil
	}
	err := s.disks.Close()
	s.disks = nil
	return err
}

// growDisk gives a kept disk the size that was asked for.
func growDisk(disk launcher.Disk, chain *images.Chain) error {
	if !disk.Kept() || disk.Size <= chain.VirtualSize() {
		return nil
	}
	return images.Grow(chain.Top().File, disk.Size)
}
