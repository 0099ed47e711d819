package launcher

import (
	"context"
	"errors"
	"fmt"
	"os/exec"
	"runtime"
	"strings"
	"syscall"
	"time"

	"github.com/google/uuid"
	"golang.org/x/sys/unix"
)

// openSSH finds out how to log into the guest.
func (e *execution) openSSH() (err error) {
	if e.vm.Reachable.IsZero() {
		return fail(KindGuest, "wait by kvmrun wait "+e.vm.Name+" --for ssh, or see kvmrun net explain "+e.vm.Name,
			"the guest has not answered at its address yet")
	}
	e.ssh, err = e.l.ssh(e.dir.Name)
	return err
}

// callTime is how long a guest may take to take a call before its SSH server counts as
// not being there.
const callTime = 3 * time.Second

// callSSH tells whether there is an SSH server in the guest.
func (e *execution) callSSH(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, callTime)
	defer cancel()
	conn, err := dialTCP(e.vm.Spec.Network.IP, sshPort)(ctx)
	if err != nil {
		return fmt.Errorf("no SSH server in the guest: %w", plainly(err))
	}
	return conn.Close()
}

// execOptions are ssh's, before those of SSH.Options: it takes the first of a kind. It
// asks nothing, says only what goes wrong, and ends when the guest is silent.
var execOptions = []string{"BatchMode=yes", "LogLevel=ERROR", "ConnectTimeout=10", "ServerAliveInterval=15", "ServerAliveCountMax=3"}

// sshCommand is the host's ssh with a line for the guest's shell.
func (e *execution) sshCommand(ctx context.Context, flag, line string) *exec.Cmd {
	args := []string{"ssh", flag}
	for _, o := range execOptions {
		args = append(args, "-o", o)
	}
	for _, o := range e.ssh.Options() {
		args = append(args, "-o", o[0]+"="+o[1])
	}
	cmd := exec.CommandContext(ctx, "ssh")
	cmd.Args, cmd.SysProcAttr = append(args, e.ssh.VM, "--", line), new(syscall.SysProcAttr)
	return cmd
}

// runWhileHere runs a program that ends with this process at the latest, however that
// ends.
func runWhileHere(cmd *exec.Cmd) error {
	// The signal comes when the thread ends that has started it (prctl(2),
	// PR_SET_PDEATHSIG), so that one must stay.
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	cmd.SysProcAttr.Pdeathsig = syscall.SIGTERM
	err := cmd.Run()
	if errors.Is(err, exec.ErrNotFound) {
		return fail(KindHost, "install it (Debian: apt install openssh-client)", "ssh is not here")
	}
	return err
}

// mark is the variable by which the processes of a command are found in the guest.
const mark = "KVMRUN_EXEC"

// script is what the guest's shell is given: the command, which its own shell does not
// take part in. The one in between stays and tells how the command ended, which SSH does
// not tell of one that a signal ended, also when that is typed at their terminal. Of the one status that is ssh's own, too, it leaves
// a file.
func (e *execution) script(id string) string {
	script := fmt.Sprintf(`trap : INT QUIT; export %s=%s; (exec "$@"); s=$?; [ $s != %d ] || : >%s; exit $s`, mark, id, sshStatus, witness(id))
	words := []string{"exec", "sh", "-c", quote(script), "sh"}
	for _, word := range e.command {
		words = append(words, quote(word))
	}
	return strings.Join(words, " ")
}

// bySSH runs the command by the host's own ssh, with this process's streams.
func (e *execution) bySSH(ctx context.Context) (int, error) {
	e.Note("%s runs by SSH, as %s", e.command[0], e.ssh.User)
	id := uuid.NewString()
	flag := "-T"
	if e.Terminal {
		flag = "-t"
	}
	cmd := e.sshCommand(ctx, flag, e.script(id))
	cmd.Stdout, cmd.Stderr = e.Stdout, e.Stderr
	if e.Terminal || isInput(e.Stdin) {
		cmd.Stdin = e.Stdin
	}
	if !e.Terminal {
		// Ctrl-C is for the guest's command, and not for ssh.
		cmd.SysProcAttr.Setpgid = true
	}
	ended := make(chan error, 1)
	go func() { ended <- runWhileHere(cmd) }()
	err := e.accompany(ctx, id, ended)
	return e.statusOf(ctx, id, err)
}

// accompany waits for ssh's end, passes signals on to the command, and ends it when it is
// out of time.
func (e *execution) accompany(ctx context.Context, id string, ended <-chan error) error {
	var deadline <-chan time.Time
	if e.Timeout > 0 {
		deadline = time.After(e.Timeout)
	}
	overrun, kill := false, syscall.SIGTERM
	for {
		select {
		case err := <-ended:
			if overrun {
				return errOverrun(e.Timeout)
			}
			return err
		case s := <-e.Signals:
			if number, ok := s.(syscall.Signal); ok && !e.Terminal { // which has the key already
				e.signal(ctx, id, number)
			}
		case <-deadline:
			e.signal(ctx, id, kill)
			overrun, kill, deadline = true, syscall.SIGKILL, time.After(killTime)
		}
	}
}

// signal sends a signal to the command's processes in the guest. SSH has a message for
// that, which ssh does not send.
func (e *execution) signal(ctx context.Context, id string, number syscall.Signal) {
	name := strings.TrimPrefix(unix.SignalName(number), "SIG")
	script := fmt.Sprintf(`for p in /proc/[0-9]*; do `+
		`tr '\0' '\n' <$p/environ 2>/dev/null | grep -qx %s=%s && kill -%s ${p#/proc/}; done`, mark, id, name)
	cmd := e.sshCommand(ctx, "-T", "exec sh -c "+quote(script))
	cmd.SysProcAttr.Setpgid = true
	if err := runWhileHere(cmd); err != nil {
		e.Note("the signal %s may not have reached the guest: %v", name, err)
	}
}

// sshStatus is ssh's own status if it fails.
const sshStatus = 255

// witness is a file in the guest by which a command's status is told from ssh's own.
func witness(id string) string { return "/tmp/kvmrun-" + id }

// wasIts tells whether the command itself has ended with ssh's status.
func (e *execution) wasIts(ctx context.Context, id string) bool {
	return runWhileHere(e.sshCommand(ctx, "-T", "exec rm "+witness(id))) == nil
}

// statusOf is the command's exit status, from how ssh ended.
func (e *execution) statusOf(ctx context.Context, id string, err error) (int, error) {
	var exit *exec.ExitError
	switch {
	case err == nil:
		return 0, nil
	case ctx.Err() != nil:
		return 0, ctx.Err()
	case !errors.As(err, &exit):
		return 0, err
	case exit.ExitCode() == sshStatus && !e.wasIts(ctx, id):
		return 0, fail(KindGuest, "see kvmrun ssh "+e.vm.Name, "ssh failed, or its connection broke")
	case exit.ExitCode() < 0:
		return 0, fail(KindGuest, "", "ssh: %w", exit)
	}
	return exit.ExitCode(), nil
}
