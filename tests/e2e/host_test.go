package e2e

import (
	"fmt"
	"os"
	"regexp"
	"strings"
	"testing"

	"kvmrun/tests/lab"
)

// host is a lab whose host's state at the start is known.
type host struct {
	*lab.Lab
	before lab.Snapshot
}

func newHost(t *testing.T, options ...lab.Option) *host {
	t.Helper()
	h := &host{Lab: lab.New(t, options...)}
	h.before = h.Host.Snapshot(t)
	t.Cleanup(func() {
		if t.Failed() {
			h.report(t)
		}
	})
	return h
}

// run runs kvmrun on the host. A failure of the test shows the command.
func (h *host) run(t *testing.T, args ...string) lab.Result {
	t.Helper()
	r := h.Host.Run(t, "kvmrun", args...)
	t.Logf("host%s", r)
	return r
}

// must is run for a command that succeeds. It returns the standard output.
func (h *host) must(t *testing.T, args ...string) string {
	t.Helper()
	r := h.run(t, args...)
	if r.ExitCode != 0 {
		t.Fatalf("kvmrun %s: exit status %d, want 0", strings.Join(args, " "), r.ExitCode)
	}
	return r.Stdout
}

// quoted are the lines of a guest's console before a message.
var quoted = regexp.MustCompile(`(?m)^kvmrun: [a-z0-9]+ \| .*\n`)

// fails is run for a command that ends with the given exit status and says why
// in one line, behind what a console said last. It returns that line.
func (h *host) fails(t *testing.T, status int, args ...string) string {
	t.Helper()
	r := h.run(t, args...)
	if r.ExitCode != status {
		t.Fatalf("kvmrun %s: exit status %d, want %d", strings.Join(args, " "), r.ExitCode, status)
	}
	message, found := strings.CutPrefix(quoted.ReplaceAllString(r.Stderr, ""), "kvmrun: ")
	if !found || strings.Count(message, "\n") != 1 {
		t.Errorf("kvmrun %s: standard error is not one message of kvmrun's: %q", strings.Join(args, " "), r.Stderr)
	}
	if r.Stdout != "" {
		t.Errorf("kvmrun %s fails, and yet prints %q", strings.Join(args, " "), r.Stdout)
	}
	return message
}

// sh runs a shell script on the host; it must succeed.
func (h *host) sh(t *testing.T, script string) string {
	t.Helper()
	return h.Host.MustRun(t, "sh", "-euc", script)
}

// script makes an executable shell script in the host's own /run, where QEMU's
// user can reach it. It belongs to what the host was before.
func (h *host) script(t *testing.T, name, text string) string {
	t.Helper()
	path := "/run/" + name
	if err := os.WriteFile(h.Host.File(path), []byte("#!/bin/sh\n"+text+"\n"), 0o755); err != nil {
		t.Fatal(err)
	}
	h.before = h.Host.Snapshot(t)
	return path
}

// change is how the host differs from what it was; empty if it does not.
func (h *host) change(t *testing.T) string {
	t.Helper()
	return h.before.WithoutSkeleton().Diff(h.Host.Snapshot(t).WithoutSkeleton())
}

// isAsBefore checks that nothing is left of kvmrun on the host. A supervisor
// may be on its last way out: it holds nothing any more.
func (h *host) isAsBefore(t *testing.T) {
	t.Helper()
	diff := h.change(t)
	for line := range strings.Lines(diff) {
		if !strings.HasPrefix(line, "processes: + ") || !strings.Contains(line, "kvmrun supervise") {
			t.Fatalf("the host is not as before:\n%s", diff)
		}
	}
	if diff != "" {
		h.turnsAsBefore(t)
	}
}

// turnsAsBefore is isAsBefore for when nobody says that the end has come.
func (h *host) turnsAsBefore(t *testing.T) {
	t.Helper()
	lab.Eventually(t, patience, func() error { return asError(h.change(t)) })
}

// asError makes an error of a difference, if there is one.
func asError(diff string) error {
	if diff == "" {
		return nil
	}
	return fmt.Errorf("the host is not as before:\n%s", diff)
}

// report prints what there is to know of the host and its VMs.
func (h *host) report(t *testing.T) {
	t.Helper()
	t.Log("\n" + h.Host.Run(t, "sh", "-c", `
		kvmrun list -a
		ip -brief address; ip route; ip neigh show nud permanent; ip neigh show proxy
		cd /run/kvmrun/vms 2>/dev/null || exit 0
		for vm in *; do
			for log in supervisor.log qemu.log dnsmasq.log events.jsonl console.log; do
				[ -s "$vm/$log" ] || continue
				printf '\n--- %s of %s\n' "$log" "$vm"
				tail -n 40 "$vm/$log" | tr -d '\r'
			done
		done`).String())
}
