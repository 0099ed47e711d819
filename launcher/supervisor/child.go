package supervisor

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"syscall"

	"golang.org/x/sys/unix"

	"kvmrun/launcher"
	"kvmrun/launcher/process"
	"kvmrun/launcher/qemu"
	"kvmrun/launcher/vmdir"
)

// child is the VM's QEMU, whether this supervisor started it or found it.
type child struct {
	done   chan struct{}   // closed when QEMU has ended
	handle *process.Handle // of one that this supervisor started; nil if it has ended at once
	exit   string          // how it ended, once done is closed; "" if well or unknown
	known  bool            // exit was seen by its parent
}

func (c *child) ended() bool {
	select {
	case <-c.done:
		return true
	default:
		return false
	}
}

// execute starts QEMU as the VM's own user and writes its identity down.
func (s *supervisor) execute(config qemu.Config, h *handover) error {
	log, err := os.OpenFile(s.dir.File(vmdir.QEMULog), os.O_RDWR|os.O_APPEND|os.O_CREATE, 0o600)
	if err != nil {
		return err
	}
	defer func() { _ = log.Close() }()
	args := config.Args()
	cmd := &exec.Cmd{
		Path: args[0], Args: args, Dir: "/", Env: environment(),
		Stdout: log, Stderr: log, ExtraFiles: h.files,
		SysProcAttr: &syscall.SysProcAttr{Setsid: true, Credential: s.credential()},
	}
	if err := startUnprivileged(cmd); err != nil {
		return explainExec(args[0], err)
	}
	// Until it is reaped, its PID is nobody else's.
	id, err := process.Find(cmd.Process.Pid)
	s.qemu = &child{done: make(chan struct{}), known: true}
	s.state.Command = args
	if err == nil { // otherwise it has ended already: connect will say why
		s.state.QEMU = id
		s.qemu.handle, err = process.Open(id)
	}
	go s.qemu.reap(cmd)
	if err != nil && !errors.Is(err, process.ErrGone) {
		_ = cmd.Process.Signal(syscall.SIGTERM) // as EndQEMU does
		return err
	}
	return s.save()
}

// explainExec says why a program cannot be executed, in the kernel's words.
func explainExec(program string, err error) error {
	advice := "name another by --qemu"
	if errors.Is(err, os.ErrPermission) {
		advice = "every user must be able to execute it and to reach its folder; " + advice
	}
	var path *os.PathError
	if errors.As(err, &path) {
		err = path.Err
	}
	return &launcher.Error{Kind: launcher.KindQEMU, Err: fmt.Errorf("cannot execute %s: %w", program, err), Advice: advice}
}

// reap waits for a QEMU that is this process's child.
func (c *child) reap(cmd *exec.Cmd) {
	if err := cmd.Wait(); err != nil {
		c.exit = err.Error()
	}
	close(c.done)
}

// credential is the VM's own user and group. It has no capability and one
// supplementary group at most: the one that /dev/kvm belongs to.
func (s *supervisor) credential() *syscall.Credential {
	c := &syscall.Credential{Uid: s.spec.RunAs.UID, Gid: s.spec.RunAs.GID}
	if s.spec.Accel == qemu.KVM {
		if group, err := qemu.KVMGroup(); err == nil && group != 0 {
			c.Groups = []uint32{group}
		}
	}
	return c
}

// environment is all that QEMU gets to see of this process's.
func environment() []string {
	return []string{"PATH=" + os.Getenv("PATH"), "LANG=C.UTF-8"}
}

// startUnprivileged starts a command that can never gain privileges: not by a
// set-user-ID program, not by file capabilities (PR_SET_NO_NEW_PRIVS, prctl(2)).
// The setting is the calling thread's for ever, so the thread that has it ends
// with this goroutine, which never unlocks it.
func startUnprivileged(cmd *exec.Cmd) error {
	started := make(chan error)
	go func() {
		runtime.LockOSThread()
		err := unix.Prctl(unix.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
		if err == nil {
			err = cmd.Start()
		}
		started <- err
	}()
	return <-started
}

// watchHandle makes a child of a QEMU that another supervisor started. How it
// ends cannot be known.
func watchHandle(h *process.Handle) *child {
	c := &child{done: make(chan struct{})}
	go func() {
		_ = h.Wait(context.Background())
		close(c.done)
	}()
	return c
}
