package e2e

import (
	"context"
	"fmt"
	"io"
	"strings"
	"testing"
	"time"

	"kvmrun/tests/lab"
)

// cmdline is the guest's kernel command line. Without no_timer_check the kernel
// panics where its emulated timer ticks late, as on a busy machine.
const cmdline = "console=ttyS0 mitigations=off panic=0 no_timer_check"

// boot is the part of a command line that boots the test guest by its kernel,
// sooner than by its disk. Words are added to the kernel's command line.
func boot(t *testing.T, words ...string) []string {
	t.Helper()
	return bootFrom(lab.Guest(t), words...)
}

// bootGeneric is boot for the guest that knows emulated network cards.
func bootGeneric(t *testing.T, words ...string) []string {
	t.Helper()
	return bootFrom(lab.GenericGuest(t), words...)
}

func bootFrom(g lab.GuestFiles, words ...string) []string {
	line := strings.Join(append([]string{cmdline}, words...), " ")
	return []string{"--kernel", g.Kernel, "--initrd", g.Initrd, "--append", line}
}

// frozen is a command line for a VM that costs next to nothing: its processor
// never runs.
func frozen(t *testing.T, args ...string) []string {
	t.Helper()
	args = append(args, "--kernel", lab.Guest(t).Kernel, "--memory", "16M")
	return append(args, "--", "-S")
}

// patience is how long a guest under TCG on a busy machine may take for what
// it does in a moment.
const patience = time.Minute

// reachedFrom checks that the guest answers to ping and TCP from a machine.
func (v *vm) reachedFrom(t *testing.T, w *lab.World) {
	t.Helper()
	w.WaitPing(t, v.IP, patience)
	var page string
	lab.Eventually(t, patience, func() (err error) {
		page, err = ask(w, v.IP+":80", "GET / HTTP/1.0\r\n\r\n")
		if err == nil && !strings.Contains(page, " "+v.IP) {
			err = fmt.Errorf("it says %q", page)
		}
		return err
	})
}

// sh runs a command in the guest by way of the LAN, and returns what it prints.
func (v *vm) sh(t *testing.T, command string) string {
	t.Helper()
	var answer string
	lab.Eventually(t, patience, func() (err error) {
		answer, err = ask(v.host.LAN, v.IP+":23", "exec 2>&1\n"+command+"\nexit\n")
		return err
	})
	t.Logf("guest %s# %s\n%s", v.Name, command, answer)
	return answer
}

// poweroff makes the guest shut down by itself.
func (v *vm) poweroff(t *testing.T) {
	t.Helper()
	conn := v.host.LAN.WaitTCP(t, v.IP+":23", patience)
	if _, err := io.WriteString(conn, "poweroff -f\n"); err != nil {
		t.Fatal(err)
	}
}

// ask sends a text by TCP and returns all that comes back.
func ask(from *lab.World, address, text string) (string, error) {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	conn, err := from.Dial(ctx, "tcp", address)
	if err != nil {
		return "", err
	}
	defer func() { _ = conn.Close() }()
	if err := conn.SetDeadline(time.Now().Add(patience)); err != nil {
		return "", err
	}
	if _, err := io.WriteString(conn, text); err != nil {
		return "", err
	}
	answer, err := io.ReadAll(conn)
	return string(answer), err
}
