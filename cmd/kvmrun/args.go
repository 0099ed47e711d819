package main

import (
	"errors"
	"fmt"
	"slices"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"kvmrun/launcher"
)

// usage makes an error of a command line that cannot be understood.
func usage(c *cobra.Command, err error) error {
	return &launcher.Error{Kind: launcher.KindUsage, Err: err, Advice: "see " + c.CommandPath() + " --help"}
}

// typeNames are pflag's types in plain words.
var typeNames = map[string]string{
	"duration": "time; write it like 30s or 2m",
	"int":      "whole number",
	"int64":    "whole number",
	"bool":     "word for yes or no; write true or false",
}

// flagError says in plain words that a flag's value is not of its type.
func flagError(err error) error {
	var bad *pflag.InvalidValueError
	if errors.As(err, &bad) {
		flag := bad.GetFlag()
		return fmt.Errorf("--%s %.40q is not a %s", flag.Name, bad.GetValue(), either(typeNames[flag.Value.Type()], flag.Value.Type()))
	}
	return err
}

// args makes a usage error of what a check complains of.
func args(check cobra.PositionalArgs) cobra.PositionalArgs {
	return func(c *cobra.Command, given []string) error {
		if err := check(c, given); err != nil {
			return usage(c, err)
		}
		return nil
	}
}

// noArgs is cobra.NoArgs, which takes the argument for a command that is unknown.
func noArgs(_ *cobra.Command, given []string) error {
	if len(given) > 0 {
		return fmt.Errorf("it takes no argument, and got %.40q", given[0])
	}
	return nil
}

// oneName is for commands on one VM.
func oneName(_ *cobra.Command, given []string) error {
	switch len(given) {
	case 0:
		return errors.New("name the VM")
	case 1:
		return nil
	}
	return fmt.Errorf("it takes the name of one VM, and got %d", len(given))
}

// oneImage is for commands on one image.
func oneImage(_ *cobra.Command, given []string) error {
	switch len(given) {
	case 0:
		return errors.New("name the image")
	case 1:
		return nil
	}
	return fmt.Errorf("it takes the name of one image, and got %d", len(given))
}

// mayBeEmpty are the flags for which an empty value means something, or is
// refused with a better message than noneEmpty's.
var mayBeEmpty = map[string]bool{"append": true, "disk": true, "name": true, "ip": true, "subnet": true, "gateway": true, "mac": true, "memory": true}

// noneEmpty refuses a flag that is given and says nothing, as a variable does
// that nobody set.
func noneEmpty(c *cobra.Command) (err error) {
	c.Flags().Visit(func(f *pflag.Flag) {
		if err == nil && empty(f.Value) && !mayBeEmpty[f.Name] {
			err = usage(c, fmt.Errorf("--%s is empty", f.Name))
		}
	})
	return err
}

// ownWords has what cobra adds complain as the other commands do.
func ownWords(completion *cobra.Command) {
	completion.Args, completion.RunE = cobra.ArbitraryArgs, noSuchCommand
	for _, shell := range completion.Commands() {
		shell.Args = args(noArgs)
	}
}

func empty(v pflag.Value) bool {
	if list, ok := v.(pflag.SliceValue); ok {
		return len(list.GetSlice()) == 0 || slices.Contains(list.GetSlice(), "")
	}
	return v.String() == ""
}

// namesOrAll is for commands that do something with the VMs named, or with all.
func namesOrAll(c *cobra.Command, all bool, given []string) error {
	switch {
	case all && len(given) > 0:
		return usage(c, fmt.Errorf("--all is every VM: name none, or leave --all out to %s those named", c.Name()))
	case !all && len(given) == 0:
		return usage(c, fmt.Errorf("name the VMs to %s, or say --all", c.Name()))
	}
	return nil
}
