package e2e

import (
	"fmt"
	"strings"
	"syscall"
	"testing"
	"time"

	"kvmrun/tests/lab"
)

// TestExec runs commands in one guest by each way that there is.
func TestExec(t *testing.T) {
	t.Parallel()
	h := newHost(t)
	h.start(t, append(bootSSH(t), "--name", "web", "--cloud-init", "on", "--wait", "agent", "--wait", "ssh")...)
	for _, way := range []string{"agent", "ssh"} {
		t.Run(way, func(t *testing.T) {
			h.execStreams(t, way)
			h.execSignals(t, way)
			h.execTogether(t, way)
			h.copyFiles(t, way)
		})
	}
	h.execTerminal(t)
	h.waitForCloudInit(t, "agent")
	h.must(t, "pause", "web")
	if r := h.exec(t, "web", "--", "true"); r.ExitCode != 125 || !strings.Contains(r.Stderr, "stands still") {
		t.Errorf("while the guest stands still: %s", r)
	}
	h.must(t, "resume", "web")
	// What is there in place of the guest's agent by now knows nothing of those before.
	if r := h.exec(t, "-v", "web", "--", "true"); r.ExitCode != 0 || !strings.Contains(r.Stderr, "by SSH") {
		t.Errorf("by itself, with kvmrun's key known: %s", r)
	}
	first := h.inspect(t, "web").Details.Supervisor.PID
	h.must(t, "adopt", "web")
	if h.inspect(t, "web").Details.Supervisor.PID == first {
		t.Error("the supervisor is the same")
	}
	if r := h.exec(t, "--by", "agent", "web", "--", "echo", "adopted"); r.Stdout != "adopted\n" {
		t.Errorf("with another supervisor: %s", r)
	}
	h.must(t, "reset", "web")
	if r := h.exec(t, "--by", "agent", "web", "--", "true"); r.ExitCode != 125 || !strings.Contains(r.Stderr, "has no agent") {
		t.Errorf("while the guest boots: %s", r)
	}
	h.must(t, "wait", "web", "--for", "agent", "--for", "ssh")
	for _, way := range []string{"agent", "ssh"} {
		if r := h.exec(t, "--by", way, "web", "--", "test", "-e", "/tmp/ready"); r.ExitCode != 1 {
			t.Errorf("after a reset, by %s: %s", way, r)
		}
	}
	h.must(t, "stop", "--force", "web")
	h.sh(t, "rm -r /var/lib/kvmrun/identity /var/lib/kvmrun/ssh")
	h.isAsBefore(t) // no ssh among it that keeps a connection
}

// exec is kvmrun exec with an input.
func (h *host) exec(t *testing.T, args ...string) lab.Result {
	t.Helper()
	return h.Host.RunWith(t, lab.Run{Stdin: strings.NewReader("to the guest")}, "kvmrun", append([]string{"exec"}, args...)...)
}

func (h *host) execStreams(t *testing.T, way string) {
	for _, c := range []struct {
		what      string
		command   []string
		status    int
		out, errs string
	}{
		{"streams, words and status", []string{"sh", "-c", `cat; echo; echo "$0 $1" >&2; exit 7`, "a  b", "$(x)'"}, 7, "to the guest\n", "a  b $(x)'\n"},
		{"ssh's own status", []string{"sh", "-c", "exit 255"}, 255, "", ""},
		{"a signal", []string{"sh", "-c", "kill -9 $$"}, 137, "", "-"},
		{"no such command", []string{"nonesuch"}, 127, "", "-"},
		{"no command", []string{"/etc"}, 126, "", "-"},
		{"no shell's word", []string{"cd", "/"}, 127, "", "-"},
		{"much output", []string{"sh", "-c", "dd if=/dev/zero bs=1k count=1000 2>/dev/null | tr '\\0' x"}, 0, strings.Repeat("x", 1024000), ""},
	} {
		r := h.exec(t, append([]string{"--by", way, "web", "--"}, c.command...)...)
		if r.ExitCode != c.status || r.Stdout != c.out || c.errs != "-" && r.Stderr != c.errs {
			t.Errorf("%s: status %d, %d bytes of output, %.200q; want %d, %d, %q", c.what, r.ExitCode, len(r.Stdout), r.Stderr, c.status, len(c.out), c.errs)
		}
	}
}

// execTerminal types at a terminal that the command has, and finds the terminal as it was.
func (h *host) execTerminal(t *testing.T) {
	keyboard, terminal := openTerminal(t)
	before := modes(t, terminal)
	p := h.Host.StartWith(t, lab.Run{Stdin: terminal}, "kvmrun", "exec", "-t", "web", "--", "sh", "-c", "tty; read x; echo got $x; sleep 1234")
	p.Stdout.WaitFor(t, "/dev/pts/", patience)
	if _, err := keyboard.WriteString("hello\r"); err != nil {
		t.Fatal(err)
	}
	p.Stdout.WaitFor(t, "got hello", patience)
	if _, err := keyboard.WriteString("\x03"); err != nil { // Ctrl-C, for the sleep
		t.Fatal(err)
	}
	if r := p.Wait(t, patience); r.ExitCode != 130 {
		t.Errorf("Ctrl-C: %s", r)
	}
	if after := modes(t, terminal); after != before {
		t.Errorf("the terminal is left in other modes: %+v, before %+v", after, before)
	}
}

// execSignals ends commands from outside.
func (h *host) execSignals(t *testing.T, way string) {
	h.exec(t, "--by", way, "web", "--", "rm", "-f", "/tmp/ready")
	p := h.Host.Start(t, "kvmrun", "exec", "-n", "--by", way, "web", "--", "sh", "-c",
		`trap "echo heard; exit 3" INT; : >/tmp/ready; while :; do usleep 10000; done`)
	lab.Eventually(t, patience, func() error {
		if r := h.exec(t, "--by", way, "web", "--", "test", "-e", "/tmp/ready"); r.ExitCode != 0 {
			return fmt.Errorf("it has not begun: %s", r)
		}
		return nil
	})
	p.Signal(t, syscall.SIGINT)
	if r := p.Wait(t, patience); r.ExitCode != 3 || r.Stdout != "heard\n" {
		t.Errorf("a command that hears SIGINT: %s", r)
	}
	begun := time.Now()
	r := h.exec(t, "--by", way, "--timeout", "1s", "web", "--", "sleep", "1234")
	if r.ExitCode != 124 || time.Since(begun) < time.Second {
		t.Errorf("a command that is out of time: %s", r)
	}
	if r := h.exec(t, "--by", way, "web", "--", "pidof", "sleep"); r.ExitCode == 0 {
		t.Errorf("it goes on in the guest: %s", r)
	}
}

// execTogether runs several at once, some of which are killed in their course: nobody
// gets another's answer.
func (h *host) execTogether(t *testing.T, way string) {
	var killed, others []*lab.Process
	together := map[string]int{"agent": 4, "ssh": 2}[way] // dropbear greets five at a time
	for i := range together {
		killed = append(killed, h.Host.Start(t, "kvmrun", "exec", "-n", "--by", way, "web", "--", "sh", "-c", "dd if=/dev/zero bs=1k count=500 | tr '\\0' z"))
		others = append(others, h.Host.Start(t, "kvmrun", "exec", "-n", "--by", way, "web", "--", "echo", fmt.Sprint("number ", i)))
	}
	time.Sleep(50 * time.Millisecond) // wherever they are by then
	for _, p := range killed {
		p.Signal(t, syscall.SIGKILL)
	}
	for i, p := range others {
		if r := p.Wait(t, patience); r.ExitCode != 0 || r.Stdout != fmt.Sprintf("number %d\n", i) {
			t.Errorf("beside others: %s", r)
		}
	}
}

// TestExecElsewhere is for guests that lack one way or the other.
func TestExecElsewhere(t *testing.T) {
	t.Parallel()
	h := newHost(t)
	h.start(t, append(bootSSH(t), "--name", "agent", "--wait", "agent")...)
	if r := h.exec(t, "-v", "agent", "--", "cat"); r.ExitCode != 0 || r.Stdout != "to the guest" || !strings.Contains(r.Stderr, "by the guest's agent") {
		t.Errorf("without a key, with an agent: %s", r)
	}
	if r := h.exec(t, "--by", "ssh", "agent", "--", "true"); r.ExitCode != 125 || !strings.Contains(r.Stderr, "Permission denied") {
		t.Errorf("nobody may log in: %s", r)
	}
	h.must(t, "stop", "--force", "agent")
	h.start(t, append(bootFrom(lab.SSHGuest(t), "guest.noagent"), "--name", "web", "--cloud-init", "on", "--wait", "ssh")...)
	if r := h.exec(t, "-v", "web", "--", "cat"); r.ExitCode != 0 || r.Stdout != "to the guest" || !strings.Contains(r.Stderr, "by SSH") {
		t.Errorf("with a key, without an agent: %s", r)
	}
	h.waitForCloudInit(t, "ssh")
	h.must(t, "stop", "--force", "web")
	h.sh(t, "rm -r /var/lib/kvmrun/identity /var/lib/kvmrun/ssh")
	h.start(t, append(boot(t), "--name", "none", "--wait", "net")...)
	if r := h.exec(t, "none", "--", "true"); r.ExitCode != 125 || !strings.Contains(r.Stderr, "Connection refused") {
		t.Errorf("with neither: %s", r)
	}
	if r := h.exec(t, "--by", "agent", "none", "--", "true"); r.ExitCode != 125 || !strings.Contains(r.Stderr, "has no agent") {
		t.Errorf("without an agent: %s", r)
	}
	h.fails(t, 12, "wait", "none", "--for", "agent", "--timeout", "1s")
	for _, bad := range [][]string{{"none"}, {"none", "true"}, {"-t", "none", "--", "true"}, {"--by", "pigeon", "none", "--", "true"}, {"nonesuch", "--", "true"}} {
		h.fails(t, 125, append([]string{"exec"}, bad...)...)
	}
	h.must(t, "stop", "--force", "none")
	h.isAsBefore(t)
}
