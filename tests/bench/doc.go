// Package bench measures kvmrun side by side with what a user would do
// instead: the same QEMU started by hand, the same network made by shell
// commands, the same guest behind a bridge. `make bench` runs it and writes
// docs/performance.md.
//
// The ways of doing one thing take turns (A B A B …), so that what disturbs
// the machine disturbs all of them. Nothing fails on a number: a goal stands
// beside its result, with whether it is met. Everything happens in the
// namespaces of tests/lab and ends with the process, however that ends.
package bench
