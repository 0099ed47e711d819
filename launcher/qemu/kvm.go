package qemu

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"

	"golang.org/x/sys/unix"
)

// KVMDevice is the kernel's virtual machine monitor.
const KVMDevice = "/dev/kvm"

// Of linux/kvm.h: the request that tells the interface's version, the only
// version that there has been since 2007 (Documentation/virt/kvm/api.rst, 4.1),
// and the request that makes a VM.
const (
	kvmGetAPIVersion = 0xae00
	kvmAPIVersion    = 12
	kvmCreateVM      = 0xae01
)

// CheckKVM tells whether KVM works for a QEMU that is not root: the processor
// virtualises, the device may be opened by some group that is not root's, it
// speaks the known interface, and it makes a VM.
func CheckKVM() error {
	if err := checkProcessor("/proc/cpuinfo"); err != nil {
		return err
	}
	f, err := os.OpenFile(KVMDevice, os.O_RDWR, 0)
	if err != nil {
		return err
	}
	defer func() { _ = f.Close() }()
	if _, err := KVMGroup(); err != nil {
		return err
	}
	version, _, errno := unix.Syscall(unix.SYS_IOCTL, f.Fd(), kvmGetAPIVersion, 0)
	if errno != 0 {
		return fmt.Errorf("%s: %w", KVMDevice, errno)
	}
	if version != kvmAPIVersion {
		return fmt.Errorf("%s: interface version %d, not %d", KVMDevice, version, kvmAPIVersion)
	}
	vm, _, errno := unix.Syscall(unix.SYS_IOCTL, f.Fd(), kvmCreateVM, 0)
	if errno != 0 {
		return fmt.Errorf("%s makes no VM: %w", KVMDevice, errno)
	}
	return unix.Close(int(vm))
}

// ErrNoVirtualisation says that no module can bring KVM.
var ErrNoVirtualisation = errors.New("the processor offers neither VT-x nor AMD-V")

// checkProcessor looks for VT-x or AMD-V among the first processor's flags.
// There are kernels that offer /dev/kvm without either (PVM); only guests that
// were made for them run there.
func checkProcessor(cpuinfo string) error {
	f, err := os.Open(cpuinfo)
	if err != nil {
		return err
	}
	defer func() { _ = f.Close() }()
	// One processor takes less than this, and some hosts have hundreds.
	first := make([]byte, 8<<10)
	n, err := io.ReadFull(f, first)
	if err != nil && !errors.Is(err, io.ErrUnexpectedEOF) {
		return err
	}
	for line := range bytes.Lines(first[:n]) {
		if !bytes.HasPrefix(line, []byte("flags")) {
			continue
		}
		for _, flag := range bytes.Fields(line) {
			if string(flag) == "vmx" || string(flag) == "svm" {
				return nil
			}
		}
		return ErrNoVirtualisation
	}
	return nil // not an x86
}

// KVMGroup is the group by which a QEMU that is not root may open the device;
// 0 if everybody may.
func KVMGroup() (uint32, error) {
	var st unix.Stat_t
	if err := unix.Stat(KVMDevice, &st); err != nil {
		return 0, fmt.Errorf("%s: %w", KVMDevice, err)
	}
	const group, others = 0o060, 0o006
	switch {
	case st.Mode&others == others:
		return 0, nil
	case st.Mode&group == group && st.Gid != 0:
		return st.Gid, nil
	}
	return 0, fmt.Errorf("only root may open %s, and QEMU does not run as root (chgrp kvm %s; chmod 0660 %s)",
		KVMDevice, KVMDevice, KVMDevice)
}
