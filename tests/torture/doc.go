// Package torture kills kvmrun wherever it can be killed, and looks at what is
// left of it.
//
// TestTorture runs a command as often as it makes system calls that change the
// host, and so does its supervisor; each time one of these calls is the last.
// After each, `kvmrun gc` has to be enough: either the VM runs and is looked
// after, or nothing is left of it, to the last file and sysctl. On the host
// stand things of others that look like kvmrun's, and they stay.
//
// TestSoak starts and stops VMs for long, kills at random, and looks for what
// grows.
//
// Both have a short form, which runs with the other tests, and a long one: see
// make torture and make soak.
package torture
