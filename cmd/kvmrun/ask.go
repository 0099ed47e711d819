package main

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"kvmrun/launcher"
)

// askCommand completes a command that has supervisors do something with the guests of
// the VMs named, side by side. doing is shown while it takes place.
func askCommand(a *app, c *cobra.Command, doing string, do func(*launcher.Launcher, context.Context, []string) error) *cobra.Command {
	var timeout time.Duration
	c.ValidArgsFunction = a.completeNames
	c.Args = func(c *cobra.Command, given []string) error {
		if len(given) == 0 {
			return usage(c, fmt.Errorf("name the VMs to %s", c.Name()))
		}
		return nil
	}
	c.RunE = func(c *cobra.Command, names []string) error {
		if timeout <= 0 {
			return usage(c, errors.New("--timeout must be above 0"))
		}
		l, err := a.launcher()
		if err != nil {
			return err
		}
		defer a.busy("%s %s", doing, strings.Join(names, ", "))()
		ctx, cancel := context.WithTimeout(c.Context(), timeout)
		defer cancel()
		return do(l, ctx, names)
	}
	c.Flags().DurationVar(&timeout, "timeout", 30*time.Second, "how long to wait for QEMU")
	return c
}
