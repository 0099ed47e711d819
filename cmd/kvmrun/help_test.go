package main

import (
	"bytes"
	"context"
	"os"
	"os/exec"
	"slices"
	"strings"
	"testing"

	"github.com/spf13/cobra"
)

// each calls check for every command that people use.
func each(t *testing.T, check func(t *testing.T, c *cobra.Command)) {
	t.Helper()
	var walk func(c *cobra.Command)
	walk = func(c *cobra.Command) {
		if c.Hidden || c.Name() == "completion" || c.Name() == "help" {
			return // cobra's own, or nobody's
		}
		t.Run(c.CommandPath(), func(t *testing.T) { check(t, c) })
		for _, sub := range c.Commands() {
			walk(sub)
		}
	}
	walk(newApp().command())
}

func TestEveryHelpHasExamplesAndExitStatuses(t *testing.T) {
	each(t, func(t *testing.T, c *cobra.Command) {
		if c.Runnable() && c.Example == "" {
			t.Error("no example")
		}
		for line := range strings.Lines(c.Example) {
			if !strings.Contains(line, "kvmrun") {
				t.Errorf("an example that does not run kvmrun: %s", line)
			}
		}
		statuses := []string{"Exit status:", "    0  all is well", "    2  a flag"}
		if c.Annotations[passesOn] != "" { // its other statuses are another's
			statuses[2] = "  125  kvmrun failed"
		}
		for _, want := range statuses {
			if !strings.Contains(c.Long, want) {
				t.Errorf("the help does not say %q", want)
			}
		}
		if c.Short == "" || strings.HasSuffix(c.Short, ".") {
			t.Errorf("the summary is %q", c.Short)
		}
		for line := range strings.Lines(c.Long) {
			if len(strings.TrimRight(line, "\n")) > 80 {
				t.Errorf("wider than a terminal: %s", line)
			}
		}
	})
}

// Each example parses: its commands and flags exist.
func TestExamplesParse(t *testing.T) {
	each(t, func(t *testing.T, c *cobra.Command) {
		for line := range strings.Lines(c.Example) {
			for part := range strings.SplitSeq(line, "|") {
				at := strings.Index(part, "kvmrun ")
				if at < 0 || strings.Contains(part[:at], "xargs") {
					continue
				}
				command, _, _ := strings.Cut(part[at:], "  ") // a remark may follow
				command, _, _ = strings.Cut(command, " > ")
				words := strings.Fields(command)[1:]
				found, rest, err := newApp().command().Find(words)
				if err != nil || !found.Runnable() {
					t.Errorf("%s: %v", command, err)
					continue
				}
				if err := found.ParseFlags(rest); err != nil {
					t.Errorf("%s: %v", command, err)
				}
			}
		}
	})
}

// What a command can end with is in its help.
func TestHelpNamesTheStatuses(t *testing.T) {
	for command, want := range map[string]string{
		"stop": "3 5 12 13 130", "gc": "5 12 13 130", "adopt": "3 4 5 12 13 14 130",
		"list": "5 13", "cp": "3 5 6 13 14 20 130", "stats": "3 5 13 130", "resume": "3 5 11 12 13 14 130", "wait": "3 5 11 12 13 14 18 20 21 130", "inspect": "3 5 13", "qmp": "3 5 11 12 13 14 130",
		"image import": "4 5 6 7 8 12 13 19 130", "image ls": "5 13", "image inspect": "3 5 13", "image path": "3 5 7 13",
		"pause": "3 5 11 12 13 14 130", "reset": "3 5 11 12 13 14 130", "restart": "3 4 5 6 7 8 9 10 11 12 13 14 130",
		"image build debian": "4 5 6 7 12 13 19 130", "image rm": "3 5 8 12 13 130", "image verify": "3 5 6 7 13 130", "image prune": "5 12 13 130", "logs": "3 5 13 130", "console": "3 5 13 14 130", "host check": "5 13 15", "net explain": "3 5 13 17 130",
	} {
		found, _, err := newApp().command().Find(strings.Fields(command))
		if err != nil {
			t.Fatal(err)
		}
		_, table, _ := strings.Cut(found.Long, "Exit status:\n")
		var got []string
		for line := range strings.Lines(table) {
			got = append(got, strings.Fields(line)[0])
		}
		all := strings.Fields("0 1 2 16 " + want)
		if len(got) != len(all) {
			t.Errorf("%s: statuses %q, want %q", command, got, all)
		}
		for _, status := range all {
			if !slices.Contains(got, status) {
				t.Errorf("%s: the help lacks %s", command, status)
			}
		}
	}
}

func TestEveryFlagIsExplained(t *testing.T) {
	each(t, func(t *testing.T, c *cobra.Command) {
		for line := range strings.Lines(c.LocalFlags().FlagUsages()) {
			// A flag and its type, two spaces or more, and what it is for.
			if _, usage, _ := strings.Cut(strings.TrimSpace(line), "   "); strings.TrimSpace(usage) == "" {
				t.Errorf("not explained: %s", line)
			}
		}
	})
}

// capture runs a command line in this process and returns what it prints.
func capture(t *testing.T, args ...string) (status int, out, errs string) {
	t.Helper()
	var stdout, stderr bytes.Buffer
	a := newApp()
	a.out, a.err = &stdout, &stderr
	status = a.run(context.Background(), args)
	return status, stdout.String(), stderr.String()
}

func TestCompletion(t *testing.T) {
	for shell, check := range map[string]string{"bash": "bash", "zsh": "", "fish": "", "powershell": ""} {
		status, script, errs := capture(t, "completion", shell)
		if status != 0 || errs != "" || !strings.Contains(script, "kvmrun") {
			t.Errorf("%s: status %d, %d bytes, %s", shell, status, len(script), errs)
		}
		if check == "" {
			continue
		}
		cmd := exec.Command(check, "-n")
		cmd.Stdin = strings.NewReader(script)
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Errorf("%s does not take its script: %v\n%s", shell, err, out)
		}
	}
}

// What completion offers comes from the program itself.
func TestCompletionOffersChoicesAndNames(t *testing.T) {
	runDir := t.TempDir()
	if err := os.MkdirAll(runDir+"/vms/web", 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(runDir+"/vms/web/spec.json", nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		args []string
		want string
	}{
		{[]string{"start", "--machine", ""}, "microvm"},
		{[]string{"start", "--wait", ""}, "none"},
		{[]string{"wait", "web", "--for", ""}, "port:"},
		{[]string{"stop", ""}, "web"},
		{[]string{"inspect", ""}, "web"},
		{[]string{""}, "start"},
	} {
		_, out, _ := capture(t, append([]string{"__complete", "--run-dir", runDir}, c.args...)...)
		if !strings.Contains(out, c.want) {
			t.Errorf("%q offers\n%s", c.args, out)
		}
	}
}

func TestResultsAndMessagesAreApart(t *testing.T) {
	status, out, errs := capture(t, "version", "--json")
	if status != 0 || errs != "" || !strings.Contains(out, `"version"`) {
		t.Errorf("version: %d %q %q", status, out, errs)
	}
	runDir := t.TempDir()
	status, out, errs = capture(t, "--run-dir", runDir, "list", "--json")
	if status != 0 || errs != "" || strings.TrimSpace(out) != "[]" {
		t.Errorf("list without VMs: %d %q %q", status, out, errs)
	}
	// What is wrong with the run directory is said once, whatever it is wanted for.
	file := runDir + "/file"
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{file, file + "/below"} {
		for _, command := range []string{"list", "stats", "stats --watch", "gc --dry-run", "inspect web", "stop --all", "net explain web", "host check"} {
			status, out, errs := capture(t, append(strings.Fields(command), "--run-dir", path)...)
			want := "kvmrun: the run directory " + path + " is not a directory; choose another by --run-dir\n"
			if status != 13 || out != "" || errs != want {
				t.Errorf("%s in %s: %d %q %q", command, path, status, out, errs)
			}
		}
	}
	status, out, errs = capture(t, "--run-dir", runDir, "inspect", "web")
	if status != 3 || out != "" || !strings.HasPrefix(errs, "kvmrun: inspect web: ") {
		t.Errorf("inspect: %d %q %q", status, out, errs)
	}
}
