package qemu

import (
	"fmt"
	"strconv"
)

// Share is a folder of the host's, which another program serves by vhost-user
// (QEMU: docs/interop/vhost-user.rst).
type Share struct {
	Tag string // by which the guest mounts it
	// FD is a connected socket to that program; 0 for one that QEMU connects to by Path.
	FD   int
	Path string
}

// sharedMemory lets the programs that serve the shares see the guest's memory, where its
// requests lie: an addition to -machine.
func (c Config) sharedMemory() string {
	if len(c.Shares) == 0 {
		return ""
	}
	return ",memory-backend=ram0"
}

func (c Config) shares() []string {
	if len(c.Shares) == 0 {
		return nil
	}
	args := []string{"-object", fmt.Sprintf("memory-backend-memfd,id=ram0,share=on,size=%dM", c.Memory>>20)}
	for i, s := range c.Shares {
		where := "path=" + escape(s.Path)
		if s.FD != 0 {
			where = "fd=" + strconv.Itoa(s.FD)
		}
		id := fmt.Sprintf("share%d", i)
		args = append(args,
			"-chardev", "socket,id="+id+","+where,
			"-device", "vhost-user-fs-pci,chardev="+id+",tag="+escape(s.Tag))
	}
	return args
}
