package main

import (
	"errors"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"kvmrun/launcher"
)

func stopCommand(a *app) *cobra.Command {
	var all, force bool
	var timeout time.Duration
	c := &cobra.Command{
		Use:   "stop NAME... | --all",
		Short: "Stop VMs and take their network back",
		Long: `Stop VMs: press the guest's ACPI power button; if it has not shut down
within --timeout, or with --force, make QEMU write out its disks and quit,
however long that takes; only if it does nothing at all for 20 seconds, kill
it. Returns when QEMU and its network are gone. Several VMs stop side by
side. The record of a VM that failed is removed.`,
		Example: `  kvmrun stop web db
  kvmrun stop --all --timeout 2m
  kvmrun stop --force web`,
		Annotations:       ends(launcher.KindNotFound, launcher.KindPermission, launcher.KindTimeout, launcher.KindStorage, launcher.KindCanceled),
		ValidArgsFunction: a.completeNames,
		Args: func(c *cobra.Command, given []string) error {
			return namesOrAll(c, all, given)
		},
		RunE: func(c *cobra.Command, names []string) error {
			if timeout <= 0 {
				return usage(c, errors.New("--timeout must be above 0; to ask the guest nothing, say --force"))
			}
			l, err := a.launcher()
			if err != nil {
				return err
			}
			o := launcher.StopOptions{
				Timeout: timeout, Force: force,
				Note: func(note string) { a.say("%s", note) },
			}
			if all {
				defer a.busy("stopping every VM")()
				return l.StopAll(c.Context(), o)
			}
			defer a.busy("stopping %s", strings.Join(names, ", "))()
			return l.StopEach(c.Context(), names, o)
		},
	}
	c.Flags().BoolVar(&all, "all", false, "stop every VM")
	c.Flags().BoolVar(&force, "force", false, "do not ask the guest: make QEMU write out its disks and quit")
	c.Flags().DurationVar(&timeout, "timeout", launcher.DefaultStopTimeout, "how long a guest may take to shut down")
	return c
}
