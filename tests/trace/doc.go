// Package trace kills kvmrun at a chosen system call.
//
// A tracer is a copy of the test binary that starts a command, follows all of
// its threads and whatever it starts by ptrace(2), and counts the entries of
// those system calls that change the host, see rules.go. Of each it knows who
// made it: the command, a supervisor, or a child of theirs that is not yet
// another program. At the entry of the call that an [Order] names, before it is
// carried out, it kills. What is left goes on untraced.
//
// Counting is over all threads: Go runs a program on many, and a count for each
// of them, as strace(1) has it, would name no point.
//
// A package that traces gives its TestMain's first word to this one:
//
//	func TestMain(m *testing.M) { trace.Main(); lab.Main(m) }
package trace
