// Package lab gives a test a network of its own: a host on which kvmrun runs,
// and a LAN next to it.
//
// Each machine of a lab is a World: a set of namespaces (network, processes,
// mounts, host name, IPC) kept by a holder process, which is the test binary
// started again. The holder is process 1 of its world and ends with the test
// binary, whatever ends that; the kernel then kills everything in the world
// and frees its interfaces, addresses and mounts. There are no named network
// namespaces and nothing to clean up.
//
// In a world /proc and /sys show that world, and /run and /var/lib/kvmrun are
// empty file systems of its own. All other files are the machine's.
//
// A package that uses a lab hands its TestMain over:
//
//	func TestMain(m *testing.M) { lab.Main(m) }
package lab
