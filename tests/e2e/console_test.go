package e2e

import (
	"fmt"
	"os"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"kvmrun/tests/lab"
)

func TestLogsBeginWithFirmware(t *testing.T) {
	t.Parallel()
	h := newHost(t)
	v := h.start(t, lab.Guest(t).CopyDisk(t), "--wait", `console:^guest: ready`)
	logs := h.must(t, "logs", v.Name)
	firmware, kernel := strings.Index(logs, "SeaBIOS"), strings.Index(logs, "Linux version")
	if firmware < 0 || kernel < firmware || !strings.Contains(logs, "guest: ready") {
		t.Errorf("SeaBIOS speaks at byte %d, the kernel at %d", firmware, kernel)
	}
	h.must(t, "stop", v.Name)
	h.isAsBefore(t)
}

// TestFollowEndsWithVM follows a console until its VM has shut down.
func TestFollowEndsWithVM(t *testing.T) {
	t.Parallel()
	h := newHost(t)
	v := h.start(t, boot(t)...)
	logs := h.Host.Start(t, "kvmrun", "logs", "-f", v.Name)
	events := h.Host.Start(t, "kvmrun", "events", "-f", v.Name)
	logs.Stdout.WaitFor(t, "guest: lease eth0 "+v.IP, patience)
	events.Stdout.WaitFor(t, `"event":"reachable"`, patience)
	v.poweroff(t)
	if r := logs.Wait(t, patience); r.ExitCode != 0 || !strings.Contains(r.Stdout, "reboot: Power down") {
		t.Errorf("the last words are missing: %s", r)
	}
	if r := events.Wait(t, patience); r.ExitCode != 0 || !strings.Contains(r.Stdout, `"event":"SHUTDOWN"`) {
		t.Errorf("the last event is missing: %s", r)
	}
	h.turnsAsBefore(t)
}

// TestWaits starts a VM with each condition and looks whether it is met.
func TestWaits(t *testing.T) {
	t.Parallel()
	h := newHost(t)
	none := h.start(t, append(boot(t), "--name", "none", "--wait", "none")...)
	if none.State != "starting" && none.State != "running" {
		t.Errorf("--wait none: %s", none.State)
	}
	h.awaitState(t, "none", "running")
	h.must(t, "stop", "--force", "none")

	running := h.start(t, append(boot(t), "--name", "running", "--wait", "running")...)
	if running.State != "running" || running.PID == 0 {
		t.Errorf("--wait running: %+v", running)
	}
	h.must(t, "stop", "--force", "running")

	console := h.start(t, append(boot(t), "--name", "console", "--wait", `console:lease eth0 ([0-9.]+)/\d+ router`)...)
	if logs := h.must(t, "logs", "console"); !strings.Contains(logs, "lease eth0 "+console.IP) {
		t.Errorf("--wait console returned before its line: %s", logs)
	}
	h.must(t, "stop", "--force", "console")

	net := h.startNet(t, append(boot(t), "--name", "net")...)
	if err := h.LAN.Ping(net.IP, patience/10); err != nil {
		t.Errorf("--wait net: %v", err)
	}
	h.must(t, "stop", "--force", "net")
	h.isAsBefore(t)
}

// The VM ends before what is waited for: that has a status of its own.
func TestVMEndsBeforeCondition(t *testing.T) {
	t.Parallel()
	h := newHost(t)
	args := append(boot(t, "guest.poweroff"), "--name", "web", "--wait", "console:never said")
	h.fails(t, 14, startArgs(args...)...)
	h.turnsAsBefore(t)
}

func TestConsoleByPipe(t *testing.T) {
	t.Parallel()
	h := newHost(t)
	v := h.start(t, append(boot(t), "--wait", "console:guest: ready")...)
	p := h.Host.Start(t, "kvmrun", "console", v.Name)
	fmt.Fprint(p.Stdin, "\nexpr 6 \\* 7000\n")
	p.Stdout.WaitFor(t, "42000", patience)
	fmt.Fprint(p.Stdin, "poweroff -f\n")
	if r := p.Wait(t, patience); r.ExitCode != 0 {
		t.Errorf("the VM's end is no failure of the console: %s", r)
	}
	h.turnsAsBefore(t)
}

// Input that has ended leaves the console, after what it caused was heard.
func TestConsoleOfScript(t *testing.T) {
	t.Parallel()
	h := newHost(t)
	v := h.start(t, append(boot(t), "--wait", "console:guest: ready")...)
	h.sh(t, `printf '\npoweroff -f\n' | kvmrun console `+v.Name)
	h.turnsAsBefore(t)
}

// TestConsoleByTerminal types at a terminal, leaves by Ctrl-], and finds the
// terminal as it was.
func TestConsoleByTerminal(t *testing.T) {
	t.Parallel()
	h := newHost(t)
	v := h.start(t, append(boot(t), "--wait", "console:guest: ready")...)
	for range 2 { // the second time shows that the first has left
		keyboard, terminal := openTerminal(t)
		before := modes(t, terminal)
		p := h.Host.StartWith(t, lab.Run{Stdin: terminal}, "kvmrun", "console", v.Name)
		p.Stderr.WaitFor(t, `Ctrl-\] leaves`, patience)
		fmt.Fprint(keyboard, "\rexpr 6 \\* 7000\r")
		p.Stdout.WaitFor(t, "42000", patience)
		fmt.Fprint(keyboard, "\x1d")
		if r := p.Wait(t, patience); r.ExitCode != 0 {
			t.Errorf("Ctrl-]: %s", r)
		}
		if after := modes(t, terminal); after != before {
			t.Errorf("the terminal is left in other modes: %+v, before %+v", after, before)
		}
	}
	h.must(t, "stop", v.Name)
	h.isAsBefore(t)
}

// openTerminal makes a pseudo-terminal: a side to type at, and the terminal
// (pty(7)).
func openTerminal(t *testing.T) (keyboard, terminal *os.File) {
	t.Helper()
	keyboard, err := os.OpenFile("/dev/ptmx", os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = keyboard.Close() })
	fd := int(keyboard.Fd())
	number, err := unix.IoctlGetInt(fd, unix.TIOCGPTN)
	if err == nil {
		err = unix.IoctlSetPointerInt(fd, unix.TIOCSPTLCK, 0)
	}
	if err != nil {
		t.Fatal(err)
	}
	terminal, err = os.OpenFile(fmt.Sprintf("/dev/pts/%d", number), os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = terminal.Close() })
	return keyboard, terminal
}

func modes(t *testing.T, terminal *os.File) unix.Termios {
	t.Helper()
	modes, err := unix.IoctlGetTermios(int(terminal.Fd()), unix.TCGETS)
	if err != nil {
		t.Fatal(err)
	}
	return *modes
}
