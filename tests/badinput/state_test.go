package badinput

import (
	"encoding/json"
	"fmt"
	"os"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"kvmrun/tests/lab"
)

// A VM whose files cannot be read is named with the file, and the others are
// listed all the same. Nobody is there to write the files anew.
func TestStateThatCannotBeRead(t *testing.T) {
	h := newHost(t)
	newDisks(t, h)
	h.startIdle(t, "/run/img/good.qcow2", "--name", "good", "--ephemeral")
	h.startIdle(t, "/run/img/good.qcow2", "--name", "web", "--ephemeral")
	h.supervisor(t, "good", "STOP")
	defer h.supervisor(t, "good", "CONT")
	h.supervisor(t, "web", "KILL")
	lab.Eventually(t, 30*time.Second, func() error {
		if left := h.processes(t, "kvmrun supervise"); left != 1 {
			return fmt.Errorf("%d supervisors are left", left)
		}
		return nil
	})
	version := regexp.MustCompile(`"version": 1`)
	for file, damages := range map[string]map[string]func(string) string{
		"state.json": damages(version), "spec.json": damages(version),
	} {
		path := "/run/kvmrun/vms/web/" + file
		sound, err := os.ReadFile(h.File(path))
		if err != nil {
			t.Fatal(err)
		}
		for name, damage := range damages {
			t.Run(file+" "+name, func(t *testing.T) {
				put(t, h, path, damage(string(sound)))
				defer put(t, h, path, string(sound))
				h.remember(t)
				c := refusal{status: exitStorage, says: []string{"web", path}}
				if strings.Contains(name, "newer") {
					c = refusal{status: exitStorage, says: []string{"/run/kvmrun/vms/web", "newer"}}
				}
				for _, args := range [][]string{{"inspect", "web"}, {"stop", "--force", "web"}, {"qmp", "web", "query-status"}, concat(small, []string{"--name", "web", "/run/img/good.qcow2", "--ephemeral"})} {
					t.Run(args[0], func(t *testing.T) { c.check(t, h.Run(t, "kvmrun", args...)) })
				}
				for _, flags := range [][]string{{"-q"}, {"--json"}, nil} {
					r := h.Run(t, "kvmrun", concat([]string{"list"}, flags)...)
					if !strings.Contains(r.Stdout, "good") || r.ExitCode != c.status {
						t.Errorf("the other VM is not listed, or nothing is amiss: %s", r)
					}
					c.check(t, lab.Result{ExitCode: r.ExitCode, Stderr: r.Stderr})
				}
				h.unchanged(t)
			})
		}
	}
	h.MustRun(t, "kvmrun", "stop", "--force", "web")
}

// supervisor sends a signal to a VM's supervisor.
func (h *host) supervisor(t *testing.T, name, signal string) {
	t.Helper()
	var vm struct {
		Details struct{ Supervisor struct{ PID int } }
	}
	if err := json.Unmarshal([]byte(h.MustRun(t, "kvmrun", "inspect", name)), &vm); err != nil {
		t.Fatal(err)
	}
	h.MustRun(t, "kill", "-"+signal, strconv.Itoa(vm.Details.Supervisor.PID))
}

// processes counts those with a text in their command line.
func (h *host) processes(t *testing.T, text string) (n int) {
	t.Helper()
	for _, command := range h.Snapshot(t)["processes"] {
		if strings.Contains(command, text) {
			n++
		}
	}
	return n
}

func damages(version *regexp.Regexp) map[string]func(string) string {
	return map[string]func(string) string{
		"truncated":        func(s string) string { return s[:len(s)/2] },
		"empty":            func(string) string { return "" },
		"garbage":          func(string) string { return "\x00\xff\x00no JSON at all" },
		"of another shape": func(string) string { return `[1, 2, 3]` },
		"of a newer kvmrun": func(s string) string {
			return version.ReplaceAllString(s, `"version": 99`)
		},
	}
}

func put(t *testing.T, h *host, path, text string) {
	t.Helper()
	if err := os.WriteFile(h.File(path), []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

// Things in the run directory that kvmrun did not make do not keep it from
// working.
func TestStrangersInTheRunDirectory(t *testing.T) {
	h := newHost(t)
	newDisks(t, h)
	h.startIdle(t, "/run/img/good.qcow2", "--name", "good", "--ephemeral")
	h.MustRun(t, "sh", "-ec", `
		cd /run/kvmrun
		touch vms/file
		ln -s /etc vms/link
		mkdir vms/empty "vms/a name" vms/.hidden
		ln -s ../../etc/passwd leases/ip-10.254.254.3
		touch leases/ip-10.254.254.4
	`)
	if r := h.Run(t, "kvmrun", "list", "-q"); r.Stdout != "good\n" || r.ExitCode != 0 {
		t.Errorf("got %s", r)
	}
	h.MustRun(t, "sh", "-ec", `cd /run/kvmrun/vms; mkdir "$(printf 'two\nlines')"; cd two*; touch spec.json`)
	r := h.Run(t, "kvmrun", "list")
	refusal{status: exitStorage, says: []string{`two\nlines`}}.check(t, lab.Result{ExitCode: r.ExitCode, Stderr: r.Stderr})
	h.MustRun(t, "sh", "-ec", "rm -r /run/kvmrun/vms/two*")
	h.startIdle(t, "/run/img/good.qcow2", "--name", "web", "--ephemeral", "--ip", "10.254.254.3")
	h.startIdle(t, "/run/img/good.qcow2", "--name", "link-2", "--ephemeral")
	h.MustRun(t, "sh", "-ec", `mkdir /run/kvmrun/vms/mine; echo mine >/run/kvmrun/vms/mine/notes; cp --sparse=always /run/img/good.qcow2 /run/img/mine.qcow2`)
	r = h.Run(t, "kvmrun", concat(small, []string{"/run/img/good.qcow2", "--ephemeral", "--name", "mine"}, idle)...)
	refusal{status: exitExists, says: []string{"/run/kvmrun/vms/mine is there and no VM's", "--name"}}.check(t, r)
	h.startIdle(t, "/run/img/mine.qcow2", "--ephemeral")
	if r := h.Run(t, "kvmrun", "list", "-q"); r.Stdout != "good\nlink-2\nmine-2\nweb\n" {
		t.Errorf("got %s", r)
	}
	if left := h.MustRun(t, "sh", "-c", "cd /run/kvmrun/vms/mine; echo *"); left != "notes\n" {
		t.Errorf("in another's folder: %s", left)
	}
	h.MustRun(t, "kvmrun", "stop", "--force", "good")
}
