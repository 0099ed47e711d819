package qemu

import "fmt"

// vsock is the device by which the guest has an address in the vsock family. The kernel's
// vhost does its work.
func (c Config) vsock() []string {
	if c.VSock == 0 {
		return nil
	}
	device := "vhost-vsock-pci"
	if !c.isPC() {
		device = "vhost-vsock-device"
	}
	return []string{"-device", fmt.Sprintf("%s,id=vsock0,guest-cid=%d,vhostfd=%d", device, c.CID, c.VSock)}
}
