package e2e

import (
	"errors"
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"kvmrun/tests/lab"
)

// waited is what kvmrun wait --json prints of a VM.
type waited struct {
	Name, UUID string
	Conditions []struct {
		For string
		At  time.Time
	}
	Error   *struct{ Kind, Error string }
	Console []string
}

// TestWaitForSeveral waits for two VMs and several conditions of each.
func TestWaitForSeveral(t *testing.T) {
	t.Parallel()
	h := newHost(t)
	begun := time.Now()
	vms := []*vm{
		h.start(t, append(boot(t), "--name", "one", "--wait", "none")...),
		h.start(t, append(boot(t), "--name", "two", "--wait", "net", "--wait", "port:80")...),
	}
	conditions := []string{"running", "net", "port:80", "console:^guest: ready"}
	args := []string{"wait", "two", "one", "--json"}
	for _, c := range conditions {
		args = append(args, "--for", c)
	}
	var all []waited
	decode(t, h.must(t, args...), &all)
	for _, v := range vms {
		if page, err := ask(h.Host, v.IP+":80", "GET / HTTP/1.0\r\n\r\n"); err != nil || !strings.HasPrefix(page, "HTTP/") {
			t.Errorf("%s was waited for, and does not serve: %q %v", v.Name, page, err)
		}
		if logs := h.must(t, "logs", v.Name); !strings.Contains(logs, "guest: ready") {
			t.Errorf("%s was waited for, and has not said that it is ready", v.Name)
		}
	}
	if len(all) != 2 || all[0].Name != "two" || all[1].UUID != vms[0].UUID {
		t.Fatalf("not both, or not in the order of the names: %+v", all)
	}
	for _, w := range all {
		for i, c := range w.Conditions {
			if c.For != conditions[i] || c.At.Before(begun) || c.At.After(time.Now()) || w.Error != nil {
				t.Errorf("%+v", w)
			}
		}
	}
	// Of what is not so, it says why. One that fails ends it for both.
	message := h.fails(t, 12, "wait", "one", "--for", "net", "--for", "port:81", "--timeout", "3s")
	if !strings.Contains(message, "port:81 (connection refused)") || strings.Contains(message, "net,") {
		t.Errorf("it does not say what is not so, and why: %s", message)
	}
	p := h.Host.Start(t, "kvmrun", "wait", "one", "two", "--for", "port:81", "--json")
	lab.Eventually(t, patience, func() error { return watching(p.PID, 2) })
	h.must(t, "stop", "--force", "two")
	r := p.Wait(t, patience)
	decode(t, r.Stdout, &all)
	if r.ExitCode != 14 || !strings.Contains(r.Stderr, "of two") || strings.Contains(r.Stderr, "of one") {
		t.Errorf("one has ended: %s", r)
	}
	if all[0].Error == nil || all[0].Error.Kind != "canceled" || all[1].Error == nil || all[1].Error.Kind != "ended" {
		t.Errorf("%+v", all)
	}
	h.must(t, "stop", "--force", "one")
	h.isAsBefore(t)
}

// TestWaitForSSH has a server greet only when it was waited for.
func TestWaitForSSH(t *testing.T) {
	t.Parallel()
	h := newHost(t)
	v := h.startNet(t, boot(t)...)
	port, ssh := h.Host.Start(t, "kvmrun", "wait", v.Name, "--for", "port:22"), h.Host.Start(t, "kvmrun", "wait", v.Name, "--for", "ssh")
	v.background(t, "nc -ll -p 22 -e /bin/cat & echo $! >/tmp/deaf; wait") // does not greet
	if r := port.Wait(t, patience); r.ExitCode != 0 {
		t.Errorf("port 22 is served: %s", r)
	}
	if message := h.fails(t, 12, "wait", v.Name, "--for", "ssh", "--timeout", "3s"); !strings.Contains(message, "ssh (it does not greet)") {
		t.Errorf("nobody greets: %s", message)
	}
	select {
	case <-ssh.Done():
		t.Errorf("nobody greets, and yet it has ended: %s", ssh.Wait(t, patience))
	default:
	}
	v.background(t, `kill $(cat /tmp/deaf); printf '#!/bin/sh\necho hello\necho SSH-2.0-test\ncat\n' >/tmp/greet; chmod 755 /tmp/greet; exec nc -ll -p 22 -e /tmp/greet`)
	if r := ssh.Wait(t, patience); r.ExitCode != 0 {
		t.Errorf("it greets: %s", r)
	}
	h.must(t, "stop", "--force", v.Name)
	h.isAsBefore(t)
}

// TestWaitForExit waits for ends of each kind.
func TestWaitForExit(t *testing.T) {
	t.Parallel()
	h := newHost(t)
	v := h.startNet(t, append(boot(t), "--name", "web")...)
	wanted := h.Host.Start(t, "kvmrun", "wait", "web", "--for", "net", "--for", "exit", "--json")
	missed := h.Host.Start(t, "kvmrun", "wait", "web", "--for", "exit", "--for", "console:never said")
	for _, p := range []*lab.Process{wanted, missed} {
		lab.Eventually(t, patience, func() error { return watching(p.PID, 1) })
	}
	v.poweroff(t)
	r := wanted.Wait(t, patience)
	var all []waited
	decode(t, r.Stdout, &all)
	if r.ExitCode != 0 || all[0].Conditions[1].At.IsZero() {
		t.Errorf("it has shut down: %s", r)
	}
	if r := missed.Wait(t, patience); r.ExitCode != 14 {
		t.Errorf("it has ended before: %s", r)
	}
	h.fails(t, 3, "wait", "web", "--for", "exit")
	h.must(t, startArgs(append(boot(t, "guest.poweroff"), "--name", "job", "--wait", "exit")...)...)

	h.start(t, frozen(t, "--name", "web")...)
	failed := h.Host.Start(t, "kvmrun", "wait", "web", "--for", "exit")
	h.kill(t, "KILL", h.inspect(t, "web").PID)
	if r := failed.Wait(t, patience); r.ExitCode != 11 || !strings.Contains(r.Stderr, "killed") {
		t.Errorf("QEMU was killed: %s", r)
	}
	h.fails(t, 11, "wait", "web", "--for", "exit")
	h.fails(t, 14, "wait", "web", "--for", "running")
	h.must(t, "stop", "web")
	h.isAsBefore(t)
}

// TestWaitIsPrompt has the console say something and looks how soon a wait for it is
// over. The machine may be busy for a while: three times in a row it must be prompt.
func TestWaitIsPrompt(t *testing.T) {
	t.Parallel()
	const promptly = 100 * time.Millisecond
	h := newHost(t)
	v := h.start(t, frozen(t)...)
	console, err := os.OpenFile(h.Host.File(h.inspect(t, v.Name).Files["console_log"]), os.O_WRONLY|os.O_APPEND, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = console.Close() }()
	round, inRow := 0, 0
	lab.Eventually(t, patience, func() error {
		round++
		p := h.Host.Start(t, "kvmrun", "wait", v.Name, "--for", fmt.Sprintf("console:round %d done", round))
		lab.Eventually(t, patience, func() error { return watching(p.PID, 1) })
		said := time.Now()
		fmt.Fprintf(console, "round %d done\n", round)
		r := p.Wait(t, patience)
		took := time.Since(said)
		if r.ExitCode != 0 || took > promptly {
			inRow = 0
			return fmt.Errorf("%v: %s", took, r)
		}
		if inRow++; inRow < 3 {
			return fmt.Errorf("%d in a row", inRow)
		}
		return nil
	})
	h.must(t, "stop", "--force", v.Name)
	h.isAsBefore(t)
}

// watching tells whether a process has opened the consoles' logs of so many VMs, and
// waits.
func watching(pid, vms int) error {
	if text, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid)); err != nil || !strings.Contains(string(text), ") S ") {
		return fmt.Errorf("it does not wait: %s", text)
	}
	dir := fmt.Sprintf("/proc/%d/fd", pid)
	files, err := os.ReadDir(dir)
	for _, f := range files {
		if to, _ := os.Readlink(dir + "/" + f.Name()); strings.HasSuffix(to, vmConsoleLog) {
			vms--
		}
	}
	if vms > 0 {
		return fmt.Errorf("%d times %s is not open: %w", vms, vmConsoleLog, errors.Join(err, os.ErrNotExist))
	}
	return nil
}

const vmConsoleLog = "/console.log"

// TestWaitWithoutSupervisor waits for VMs whose supervisor is killed, before the wait
// and during it: nobody else would tell of what is waited for.
func TestWaitWithoutSupervisor(t *testing.T) {
	t.Parallel()
	h := newHost(t)
	h.start(t, append(boot(t), "--name", "web")...)
	first := h.inspect(t, "web").Details.Supervisor.PID
	h.kill(t, "KILL", first)
	p := h.Host.Start(t, "kvmrun", "wait", "web", "--for", "net", "--for", "port:80", "--timeout", "100s")
	var second int
	lab.Eventually(t, patience, func() error {
		now := h.inspect(t, "web")
		if second = now.Details.Supervisor.PID; !now.Supervised || second == first {
			return fmt.Errorf("nobody looks after it: %+v", now.vm)
		}
		return nil
	})
	h.kill(t, "KILL", second)
	if r := p.Wait(t, patience); r.ExitCode != 0 {
		t.Errorf("%s", r)
	}
	h.must(t, "stop", "--force", "web")
	h.isAsBefore(t)
}
