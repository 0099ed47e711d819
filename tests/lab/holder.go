package lab

import (
	"bufio"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"runtime"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"
)

// roleVariable tells a copy of the test binary that it is a holder, and of
// which world.
const roleVariable = "KVMRUN_LAB_HOLDER"

// qemuVariable tells a holder of the QEMU under test, by its absolute path.
const qemuVariable = "KVMRUN_LAB_QEMU"

// Main runs a package's tests. In the copies of the test binary that hold
// worlds it does that instead. It does not return.
func Main(m *testing.M) {
	if name := os.Getenv(roleVariable); name != "" {
		holderMain(name)
	}
	os.Exit(m.Run())
}

// hold starts the world's holder and returns when its mounts stand.
func (w *World) hold(resolvConf string) error {
	self, err := os.Executable()
	if err != nil {
		return err
	}
	qemu, err := testQEMU()
	if err != nil {
		return err
	}
	w.holder = exec.Command(self)
	w.holder.Env = []string{roleVariable + "=" + w.Name, qemuVariable + "=" + qemu}
	w.holder.Stderr = os.Stderr
	w.holder.SysProcAttr = &syscall.SysProcAttr{
		Cloneflags: unix.CLONE_NEWNET | unix.CLONE_NEWPID | unix.CLONE_NEWNS |
			unix.CLONE_NEWUTS | unix.CLONE_NEWIPC,
		Pdeathsig: syscall.SIGKILL,
	}
	stdin, err := w.holder.StdinPipe()
	if err != nil {
		return err
	}
	stdout, err := w.holder.StdoutPipe()
	if err != nil {
		return err
	}
	if err := startFromLastingThread(w.holder); err != nil {
		return fmt.Errorf("start its holder: %w", err)
	}
	w.PID = w.holder.Process.Pid
	w.alive = stdin
	if _, err := io.WriteString(stdin, resolvConf+"\x00"); err != nil {
		w.kill()
		return fmt.Errorf("speak to its holder: %w", err)
	}
	answer, err := bufio.NewReader(stdout).ReadString('\n')
	if err != nil || answer != "ready\n" {
		w.kill()
		return fmt.Errorf("its holder says %q: %w", strings.TrimSpace(answer), err)
	}
	return nil
}

// starts are the commands for the thread that starts holders. A parent-death
// signal is sent when the starting thread ends, not the process, so that
// thread must last.
var starts = make(chan func())

func init() {
	go func() {
		runtime.LockOSThread()
		for start := range starts {
			start()
		}
	}()
}

func startFromLastingThread(cmd *exec.Cmd) error {
	done := make(chan error, 1)
	starts <- func() { done <- cmd.Start() }
	return <-done
}

// kill ends the world and returns when its last process is gone.
func (w *World) kill() {
	w.once.Do(func() {
		close(w.ended)
		if w.netns != nil {
			defer func() { _ = w.netns.Close() }()
		}
		if w.holder == nil || w.holder.Process == nil {
			return
		}
		_ = w.alive.Close()
		_ = w.holder.Process.Kill() // it fails only if the holder is gone already
		_ = w.holder.Wait()         // returns once the kernel has emptied the namespace
	})
}

// holderMain is process 1 of a world: it makes the world's mounts, reaps
// orphans, and ends when the test binary does, whose end closes its input.
func holderMain(name string) {
	// Only SIGKILL from outside, or the input's end, shall end it.
	signal.Ignore(unix.SIGINT, unix.SIGTERM, unix.SIGHUP, unix.SIGPIPE)
	in := bufio.NewReader(os.Stdin)
	resolvConf, err := in.ReadString(0)
	if err == nil {
		err = furnish(name, strings.TrimSuffix(resolvConf, "\x00"), os.Getenv(qemuVariable))
	}
	if err != nil {
		fmt.Println(err)
		os.Exit(1)
	}
	go reapOrphans()
	fmt.Println("ready")
	_, _ = io.Copy(io.Discard, in)
	os.Exit(0)
}

func reapOrphans() {
	exits := make(chan os.Signal, 1)
	signal.Notify(exits, unix.SIGCHLD)
	for {
		for {
			if pid, err := unix.Wait4(-1, nil, unix.WNOHANG, nil); err != nil || pid <= 0 {
				break
			}
		}
		<-exits
	}
}
