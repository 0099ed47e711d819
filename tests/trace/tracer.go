package trace

import (
	"errors"
	"maps"
	"os"
	"runtime"
	"slices"

	"golang.org/x/sys/unix"
)

// tracer follows one command. All of it happens on one thread: the kernel takes
// requests about a traced thread from its tracer alone.
type tracer struct {
	order     Order
	report    Report
	root      *process
	start     *os.File         // closing it lets the root execute the command
	ended     bool             // the root has
	done      bool             // what is traced is to be let go
	tasks     map[int]*process // the traced threads, by ID
	stopped   map[int]bool     // those of them that have stopped once
	processes map[int]*process // by ID; also those that run at full speed
}

// follow carries out an order.
func follow(o Order) (*Report, error) {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	t := &tracer{
		order: o, tasks: map[int]*process{}, stopped: map[int]bool{}, processes: map[int]*process{},
	}
	if o.Running != "" {
		if err := t.seizeRunning(); err != nil {
			return nil, err
		}
	}
	if err := t.begin(); err != nil {
		return nil, err
	}
	for len(t.tasks) > 0 || !t.ended {
		var status unix.WaitStatus
		tid, err := unix.Wait4(-1, &status, unix.WALL, nil)
		if errors.Is(err, unix.EINTR) {
			continue
		}
		if err != nil {
			return nil, os.NewSyscallError("wait4", err)
		}
		if err := t.note(tid, status); err != nil {
			return nil, err
		}
	}
	return &t.report, nil
}

// begin starts the command, as a shell that waits until it is traced.
func (t *tracer) begin() error {
	ours, theirs, err := os.Pipe()
	if err != nil {
		return err
	}
	// The shell reads the end of this pipe when we close our side.
	script := []string{"sh", "-c", `read x <&3; exec "$@" 3<&-`, "sh"}
	p, err := os.StartProcess("/bin/sh", append(script, t.order.Command...), &os.ProcAttr{
		Files: []*os.File{os.Stdin, os.Stdout, os.Stderr, ours},
	})
	_ = ours.Close()
	if err != nil {
		return err
	}
	t.start = theirs
	if t.root, err = newProcess(p.Pid, "", false); err != nil {
		return err
	}
	return t.seize(t.root)
}

// seizeRunning takes hold of the supervisors that run, and knows of the rest.
func (t *tracer) seizeRunning() error {
	found, err := running()
	if err != nil {
		return err
	}
	for _, p := range found {
		t.processes[p.pid] = p
		if p.role != Supervisor {
			continue
		}
		p.role = t.order.Running
		if err := t.seize(p); err != nil {
			return err
		}
	}
	return nil
}

// seize takes hold of all threads of a process: those that a thread starts once
// it is traced come by themselves.
func (t *tracer) seize(p *process) error {
	t.processes[p.pid] = p
	for more := true; more; {
		more = false
		for _, tid := range threads(p.pid) {
			if t.tasks[tid] != nil {
				continue
			}
			traced, err := seize(tid)
			if err != nil {
				return err
			}
			if traced {
				t.tasks[tid] = p
				more = true
			}
		}
	}
	return nil
}

// note takes what wait says of a thread.
func (t *tracer) note(tid int, status unix.WaitStatus) error {
	if !status.Stopped() {
		delete(t.tasks, tid)
		t.allowStart()
		if tid == t.root.pid {
			t.ended, t.report.Exit = true, status.ExitStatus()
			return t.letGo()
		}
		return nil
	}
	p := t.whose(tid)
	event, s := int(status)>>16, status.StopSignal()
	if event == unix.PTRACE_EVENT_EXEC {
		t.executed(tid, p)
	}
	if s == syscallStop && event == 0 {
		if err := t.step(tid, p); err != nil {
			return err
		}
	}
	t.stopped[tid] = true
	t.allowStart()
	if t.done || !t.follows(p) {
		delete(t.tasks, tid)
		return detach(tid, deliverable(event, s))
	}
	return resume(tid, deliverable(event, s))
}

// deliverable is the signal that a stop was about, if it was about one.
func deliverable(event int, s unix.Signal) unix.Signal {
	if event != 0 || s == syscallStop {
		return 0
	}
	return s
}

// whose is the process of a thread that has stopped. One that is new came by a
// clone or a fork, which may be told of later than the thread itself.
func (t *tracer) whose(tid int) *process {
	if p := t.tasks[tid]; p != nil {
		return p
	}
	pid, parent := kinship(tid)
	p := t.processes[pid]
	if p == nil {
		var role Role
		if of := t.processes[parent]; of != nil {
			role = of.role
		}
		var err error
		if p, err = newProcess(pid, role, true); err != nil {
			p = &process{pid: pid, handle: -1} // it is gone already
		}
		t.processes[pid] = p
	}
	t.tasks[tid] = p
	return p
}

// executed makes a process another program, with one thread, which has the
// process's ID.
func (t *tracer) executed(tid int, p *process) {
	maps.DeleteFunc(t.tasks, func(other int, of *process) bool { return of == p && other != tid })
	p.forked = false
	p.role = roleOf(arguments(p.pid))
	if p == t.root {
		p.role = Command
	}
}

// follows tells whether a process is one whose calls count, or may become one.
func (t *tracer) follows(p *process) bool {
	return p == t.root || p.role == Command || p.role == Supervisor || p.role == Neighbour
}

// allowStart lets the command begin once all is traced that shall be.
func (t *tracer) allowStart() {
	if t.start == nil {
		return
	}
	for tid := range t.tasks {
		if !t.stopped[tid] {
			return
		}
	}
	_ = t.start.Close()
	t.start = nil
}

// step looks at a thread that enters or leaves a system call. What supervisors
// did before the command began does not count.
func (t *tracer) step(tid int, p *process) error {
	if p.role == "" || t.root.role == "" || t.done {
		return nil
	}
	number, args, yes := entered(tid)
	if !yes {
		return nil
	}
	e := entry{tid: tid, pid: p.pid, number: number, args: args}
	r, changes := e.rule()
	if !changes {
		return nil
	}
	t.report.Calls = append(t.report.Calls, Call{By: p.role, Forked: p.forked, Text: e.describe(r)})
	if p.role != t.order.Trigger || t.report.Count(p.role) != t.order.At {
		return nil
	}
	t.report.Reached = true
	for _, victim := range t.processes {
		if t.condemned(victim, p) {
			victim.kill()
		}
	}
	return t.letGo()
}

// condemned tells whether a process is to be killed. A child that is to become
// QEMU, or a neighbour's that is to become a supervisor, dies with all of them, or
// else lives on: killing its parent does not kill it.
func (t *tracer) condemned(p, caller *process) bool {
	if p == caller && slices.Contains(t.order.Victims, Caller) {
		return true
	}
	role := p.role
	switch {
	case p.forked && role == Supervisor:
		role = QEMU
	case p.forked && role == Neighbour:
		role = Supervisor
	}
	return role != "" && slices.Contains(t.order.Victims, role)
}

// letGo has all that is traced go on by itself: each thread has to stop for
// that.
func (t *tracer) letGo() error {
	t.done = true
	for tid := range t.tasks {
		if err := interrupt(tid); err != nil {
			return err
		}
	}
	return nil
}
