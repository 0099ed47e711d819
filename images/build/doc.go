// Package build makes disk images from a distribution's packages.
//
// [Debian] installs packages into a folder of the caller's and makes a disk of
// that: a partition table, GRUB for firmware of either kind, and a root file
// system. No loop device is used and nothing is mounted on the host. mmdebstrap,
// and what writes the file system, run in namespaces of their own (mounts,
// processes, IPC) on a file system in memory. They end with this process, however
// it ends, and what they have mounted goes with them.
//
// The same packages, options and epoch, put together by the same versions of the
// host's tools, make the same disk, byte for byte.
package build
