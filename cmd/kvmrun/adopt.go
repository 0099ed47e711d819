package main

import (
	"context"
	"errors"
	"time"

	"github.com/spf13/cobra"

	"kvmrun/launcher"
)

func adoptCommand(a *app) *cobra.Command {
	var all bool
	var timeout time.Duration
	c := &cobra.Command{
		Use:   "adopt NAME... | --all",
		Short: "Put new supervisors on running VMs",
		Long: `Replace the supervisors of VMs by new ones of this kvmrun, as after an upgrade,
and put one on each VM whose supervisor was killed. The guests notice nothing:
QEMU holds its disks and its tap itself, and runs on.`,
		Example: `  make install && kvmrun adopt --all
  kvmrun adopt web`,
		Annotations: ends(launcher.KindNotFound, launcher.KindExists, launcher.KindPermission,
			launcher.KindTimeout, launcher.KindStorage, launcher.KindEnded, launcher.KindCanceled),
		ValidArgsFunction: a.completeNames,
		Args: func(c *cobra.Command, given []string) error {
			return namesOrAll(c, all, given)
		},
		RunE: func(c *cobra.Command, names []string) error {
			if timeout <= 0 {
				return usage(c, errors.New("--timeout must be above 0"))
			}
			l, err := a.launcher()
			if err != nil {
				return err
			}
			ctx, cancel := context.WithTimeout(c.Context(), timeout)
			defer cancel()
			defer a.busy("adopting")()
			if all {
				return l.AdoptAll(ctx)
			}
			return l.AdoptEach(ctx, names)
		},
	}
	c.Flags().BoolVar(&all, "all", false, "adopt every VM")
	c.Flags().DurationVar(&timeout, "timeout", time.Minute, "how long it may take, VMs that are just starting included")
	return c
}
