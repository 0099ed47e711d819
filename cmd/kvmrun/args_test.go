package main

import (
	"slices"
	"strings"
	"testing"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"kvmrun/launcher"
)

// A command that lacks a name, or has one too many, says so in words of its own.
func TestWhatIsToBeNamed(t *testing.T) {
	for line, want := range map[string]string{
		"resume":             "name the VMs to resume; see kvmrun resume --help",
		"stop":               "name the VMs to stop, or say --all; see kvmrun stop --help",
		"stop web --all":     "--all is every VM: name none, or leave --all out to stop those named; see kvmrun stop --help",
		"qmp":                "name the VM and the monitor's command; see kvmrun qmp --help",
		"qmp web":            "name the monitor's command; see kvmrun qmp --help",
		"qmp web stop {} {}": "the command's arguments are one JSON object; see kvmrun qmp --help",
		"inspect web db":     "it takes the name of one VM, and got 2; see kvmrun inspect --help",
		"start a b":          "name one image; further ones by --disk; see kvmrun start --help",
		"completion bash x":  `it takes no argument, and got "x"; see kvmrun completion bash --help`,
		"completion x":       `there is no command "x"; see kvmrun completion --help`,
	} {
		status, out, errs := capture(t, strings.Fields(line)...)
		if status != 2 || out != "" || errs != "kvmrun: "+want+"\n" {
			t.Errorf("%s: status %d, %q, %q; want %q", line, status, out, errs, want)
		}
	}
	// No command leaves it to the library that reads the command line.
	each(t, func(t *testing.T, c *cobra.Command) {
		for n := range 5 {
			words := slices.Concat(strings.Fields(c.CommandPath())[1:], slices.Repeat([]string{"web"}, n))
			found, rest, err := newApp().command().Find(words)
			if err != nil {
				t.Fatal(err)
			}
			err = found.ValidateArgs(rest)
			if err != nil && (launcher.KindOf(err) != launcher.KindUsage || strings.Contains(err.Error(), "arg(s)")) {
				t.Errorf("%q: %v", words, err)
			}
		}
	})
}

// A flag whose value is empty, as that of a variable which nobody set, does not
// count as left out. The commands themselves are not run.
func TestEmptyFlagsAreRefused(t *testing.T) {
	each(t, func(t *testing.T, c *cobra.Command) {
		check := func(f *pflag.Flag) {
			root := newApp().command()
			found, _, err := root.Find(strings.Fields(c.CommandPath())[1:])
			if err != nil {
				t.Fatal(err)
			}
			if found.ParseFlags([]string{"--" + f.Name + "="}) != nil {
				return // it is of a type that has no empty value
			}
			if err := root.PersistentPreRunE(found, nil); (err == nil) != mayBeEmpty[f.Name] {
				t.Errorf("--%s '': %v", f.Name, err)
			}
		}
		c.LocalFlags().VisitAll(check)
		c.InheritedFlags().VisitAll(check)
	})
	for line, want := range map[string]string{
		"list --run-dir=": "--run-dir is empty; see kvmrun list --help",
		"net explain web --with= --run-dir=/nowhere": "--with is empty; see kvmrun net explain --help",
		"inspect web --data-dir= --run-dir=/nowhere": "--data-dir is empty; see kvmrun inspect --help",
		"host check --qemu= --run-dir=/nowhere":      "--qemu is empty; see kvmrun host check --help",
	} {
		status, out, errs := capture(t, strings.Fields(line)...)
		if status != 2 || out != "" || errs != "kvmrun: "+want+"\n" {
			t.Errorf("%s: status %d, %q, %q", line, status, out, errs)
		}
	}
}
