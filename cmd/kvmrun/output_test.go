package main

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"strings"
	"testing"

	"kvmrun/launcher"
)

// A result that cannot be written is a failure, whatever the command.
func TestResultsThatCannotBeWritten(t *testing.T) {
	full, err := os.OpenFile("/dev/full", os.O_WRONLY, 0)
	if err != nil {
		t.Skipf("skipped: %v", err)
	}
	defer func() { _ = full.Close() }()
	runDir := t.TempDir()
	if err := os.MkdirAll(runDir+"/vms/web", 0o700); err != nil {
		t.Fatal(err)
	}
	spec := fmt.Sprintf(`{"version": %d, "name": "web", "uuid": "97041b92-237e-4bb5-9caf-6bdb2557a851", "network": {"ip": "10.254.254.2"}, "run_as": {"uid": 7, "gid": 7}}`, launcher.SpecVersion)
	if err := os.WriteFile(runDir+"/vms/web/spec.json", []byte(spec), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(runDir+"/vms/web/console.log", []byte("boot\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, args := range [][]string{
		{"list"}, {"list", "-q"}, {"list", "--json"}, {"stats"}, {"stats", "--json"}, {"stats", "--prometheus"}, {"stats", "--watch"}, {"stats", "--watch", "--json"}, {"inspect", "web"}, {"logs", "web"},
		{"version"}, {"--help"}, {"completion", "bash"},
	} {
		var said bytes.Buffer
		a := newApp()
		a.out, a.err = &output{w: full}, &said
		root := a.command()
		root.SetArgs(append([]string{"--run-dir", runDir}, args...))
		status := a.exit(root.ExecuteContext(t.Context()))
		if status != 16 || said.String() != "kvmrun: print the result: write /dev/full: no space left on device\n" {
			t.Errorf("%q: status %d, %s", args, status, said.String())
		}
	}
}

// Bad news that nobody hears are no news.
func TestOutputComesBeforeBadNews(t *testing.T) {
	var said bytes.Buffer
	broken := &output{w: failing{}}
	_, _ = fmt.Fprintln(broken, "fail")
	a := &app{out: broken, err: &said}
	for _, err := range []error{nil, errUnwell, errUnreachable} {
		if got := a.exit(err); got != 16 {
			t.Errorf("%v: ends with %d, want 16", err, got)
		}
	}
	if got := a.exit(&launcher.Error{Kind: launcher.KindNotFound, Err: errors.New("x")}); got != 3 {
		t.Errorf("an error of the command's own ends with %d, want 3", got)
	}
}

type failing struct{}

func (failing) Write([]byte) (int, error) { return 0, errors.New("it rains") }

func TestWhatTheTerminalWouldObeyIsQuoted(t *testing.T) {
	for text, want := range map[string]string{
		"/srv/web.qcow2":         "/srv/web.qcow2",
		"/srv/a web.qcow2":       "/srv/a web.qcow2",
		"/srv/büro\\x.qcow2":     "/srv/büro\\x.qcow2",
		"/srv/a\nb\tc":           `"/srv/a\nb\tc"`,
		"/srv/\x1b]0;x\a":        `"/srv/\x1b]0;x\a"`,
		"/srv/\u009b31m":         `"/srv/\u009b31m"`,
		"/srv/\x9b\xff":          `"/srv/\x9b\xff"`,
		"/srv/\u202egnp.exe":     `"/srv/\u202egnp.exe"`,
		"/srv/replacement\ufffd": "/srv/replacement\ufffd",
	} {
		if got := word(text); got != want {
			t.Errorf("%q: %s, want %s", text, got, want)
		}
	}
	var said bytes.Buffer
	a := &app{err: &said}
	a.say("%s", "web: \x1b[2J\rQEMU\nended\n")
	if got, want := said.String(), `kvmrun: web: \x1b[2J\rQEMU`+"\nkvmrun: ended\n"; got != want {
		t.Errorf("said %q, want %q", got, want)
	}
}

func TestTableIsQuoted(t *testing.T) {
	var printed bytes.Buffer
	a := &app{out: &printed}
	err := a.table([]launcher.VM{{Name: "web", State: launcher.Failed, Image: "/srv/a\n\x1b[2J.qcow2", Reason: "it said \a"}})
	if err != nil {
		t.Fatal(err)
	}
	lines := strings.Split(printed.String(), "\n")
	if len(lines) != 5 || !strings.HasSuffix(lines[1], `"/srv/a\n\x1b[2J.qcow2"`) || lines[3] != `web: it said \a` {
		t.Errorf("printed %q", printed.String())
	}
}

// Each of several errors has the prefix.
func TestSeveralErrors(t *testing.T) {
	var said bytes.Buffer
	a := &app{err: &said}
	a.exit(fmt.Errorf("stop: %w", errors.Join(errors.New("a"), errors.New("b"))))
	if got, want := said.String(), "kvmrun: stop: a\nkvmrun: b\n"; got != want {
		t.Errorf("said %q, want %q", got, want)
	}
}
