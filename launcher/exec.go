package launcher

import (
	"context"
	"errors"
	"io"
	"os"
	"time"

	"kvmrun/launcher/firstboot"
	"kvmrun/launcher/vmdir"
)

// Way is how a command gets into a guest.
type Way string

// The ways. WayAuto takes SSH where kvmrun may log in by its own key, and the guest's
// agent where that is all there is.
const (
	WayAuto  Way = "auto"
	WayAgent Way = "agent"
	WaySSH   Way = "ssh"
)

// Ways lists them, the default first.
var Ways = []Way{WayAuto, WayAgent, WaySSH}

// ExecOptions say how Exec runs a command.
type ExecOptions struct {
	By Way // WayAuto if empty
	// Stdin is the command's standard input, to its end; nil for an empty one. By the
	// agent the command begins when all of it has been read.
	Stdin          *os.File
	Stdout, Stderr *os.File
	// Terminal gives the command a terminal, which is Stdin's. Only SSH can.
	Terminal bool
	// Timeout is how long the command may take; 0 for as long as it likes. It is ended
	// then, and the error is of KindTimeout.
	Timeout time.Duration
	// Signals are passed on to the command. Without a terminal it may be the command's
	// own process alone that gets them, not what that has started.
	Signals <-chan os.Signal
	// Note is told which way was taken, and why. It may be nil.
	Note func(format string, args ...any)
}

// What a command's status is if it could not be executed, or a signal has ended it, as
// shells have it (POSIX, Shell Command Language, 2.8.2).
const (
	statusNotExecutable = 126
	statusNotFound      = 127
	statusSignal        = 128 // and the signal's number
)

// Exec runs a command in the VM's guest and returns its exit status, which is 126 or 127
// if it cannot be executed, and 128 and the number of the signal that ended it, if one
// did. An error is that there is no status. If the context ends, Exec gives up, and what
// becomes of the command nobody knows.
func (l *Launcher) Exec(ctx context.Context, name string, command []string, o ExecOptions) (status int, err error) {
	op := "exec in " + printableName(name)
	setDefault(&o.By, WayAuto)
	if o.Note == nil {
		o.Note = func(string, ...any) {}
	}
	if len(command) == 0 || command[0] == "" {
		return 0, during(op, fail(KindUsage, "", "there is no command"))
	}
	dir, err := l.reach(name)
	if err != nil {
		return 0, during(op, err)
	}
	vm, err := l.look(dir)
	if err != nil {
		return 0, during(op, ended(dir, err))
	}
	if vm.State == Paused {
		return 0, during(op, fail(KindGuest, "let it go on by kvmrun resume "+name, "the guest stands still"))
	}
	e := execution{ExecOptions: o, l: l, dir: dir, vm: &vm, command: command}
	run, err := e.choose(ctx)
	if err != nil {
		return 0, during(op, err)
	}
	status, err = run(ctx)
	if err != nil && ctx.Err() == nil && l.over(dir) != nil {
		err = l.over(dir) // that is why
	}
	return status, during(op, err)
}

// execution is one command to run in one guest.
type execution struct {
	ExecOptions
	l       *Launcher
	dir     vmdir.Dir
	vm      *Details
	command []string
	ssh     SSH
}

// choose decides on the way.
func (e *execution) choose(ctx context.Context) (run func(context.Context) (int, error), err error) {
	byAgent := !e.vm.Details.Agent.IsZero()
	switch {
	case e.By == WayAgent:
		if e.Terminal {
			return nil, fail(KindUsage, "leave one of them out", "the guest's agent has no terminal to give")
		}
		return e.byAgent, nil
	case e.By == WaySSH:
		return e.bySSH, e.openSSH()
	case e.By != WayAuto:
		return nil, fail(KindUsage, "choose auto, agent or ssh", "there is no way %.40q into a guest", string(e.By))
	case e.Terminal, !byAgent, e.account() != firstboot.Root:
		return e.bySSH, e.openSSH()
	case e.vm.Spec.FirstBoot == nil:
		e.Note("the guest was not told to take kvmrun's key")
		return e.byAgent, nil
	}
	if err = e.openSSH(); err == nil {
		err = e.callSSH(ctx)
	}
	if err != nil {
		e.Note("%v", err)
		return e.byAgent, nil
	}
	return e.bySSH, nil
}

// account is who the command is run as by SSH. By the agent it is root.
func (e *execution) account() string {
	if f := e.vm.Spec.FirstBoot; f != nil {
		return f.Login
	}
	return firstboot.Root
}

// killTime is how long a command that is out of time may take to end before it is
// killed.
const killTime = 5 * time.Second

// errOverrun says that a command was out of time.
func errOverrun(after time.Duration) error {
	return fail(KindTimeout, "give it more by --timeout", "the command was not done after %v", after)
}

// isInput tells whether a file has something to read, or may come to have. A terminal's
// is not taken for a command's input.
func isInput(f *os.File) bool {
	if f == nil {
		return false
	}
	info, err := f.Stat()
	return err == nil && info.Mode()&os.ModeCharDevice == 0
}

// maxInput is how much standard input the agent can be given, in bytes. It comes in one
// message, which the agent keeps in memory several times over.
const maxInput = 4 << 20

// readInput reads a command's whole standard input.
func readInput(ctx context.Context, f *os.File) ([]byte, error) {
	if !isInput(f) {
		return nil, nil
	}
	type input struct {
		text []byte
		err  error
	}
	all := make(chan input, 1)
	go func() { // a pipe may never come to its end
		text, err := io.ReadAll(io.LimitReader(f, maxInput+1))
		all <- input{text, err}
	}()
	select {
	case in := <-all:
		if len(in.text) > maxInput {
			return nil, fail(KindUsage, "use SSH, by --by ssh", "more than %d MiB of input are too much for the guest's agent", maxInput>>20)
		}
		return in.text, in.err
	case <-ctx.Done():
		return nil, errors.Join(errors.New("the input has not ended"), ctx.Err())
	}
}
