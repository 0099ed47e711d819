// Package badinput runs the real kvmrun with what it must refuse: images that
// are none, names, addresses and sizes that cannot be meant, a QEMU that
// misbehaves, a host that lacks something. In every case there is one clear
// message, the exit status of the failure's kind, and the host as before.
package badinput
