// Package e2e holds the end-to-end tests: the kvmrun command, started as people
// start it, on real guests in a network of their own (package lab).
//
// Each test has a lab, and with it a host, for itself, so they run side by
// side. What a test checks it reads by other means than kvmrun's: by ip(8), by
// /proc, by what another machine of the LAN sees, by a shell in the guest. A
// test that stops its VMs also checks that the host is as it was before.
//
// Variables:
//
//	KVMRUN_TEST_QEMU   the QEMU to test with, in place of the machine's own
//	KVMRUN_TEST_ACCEL  the accelerator to ask for, in place of tcg
//
// A failure prints the commands that were run, what they printed, and the logs
// of the VMs that are there.
package e2e
