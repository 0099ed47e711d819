package main

import (
	"context"
	"errors"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"kvmrun/launcher"
)

func resumeCommand(a *app) *cobra.Command {
	var timeout time.Duration
	c := &cobra.Command{
		Use:   "resume NAME...",
		Short: "Let VMs go on that stand still",
		Long: `Let VMs go on that stand still: because no space was left for a disk image
(kvmrun list says so), because of the monitor's command stop, or because QEMU
was started with -S. What the guest wanted to write meanwhile is written now.
Returns when the guests run. One that stands still again at once, because
there is still no space, is a failure. A VM that runs is left alone.`,
		Example: `  kvmrun resume web
  kvmrun resume web db --timeout 5s`,
		Annotations: ends(launcher.KindNotFound, launcher.KindPermission, launcher.KindQEMU,
			launcher.KindTimeout, launcher.KindStorage, launcher.KindEnded, launcher.KindCanceled),
		ValidArgsFunction: a.completeNames,
		Args: func(c *cobra.Command, given []string) error {
			if len(given) == 0 {
				return usage(c, errors.New("name the VMs to resume"))
			}
			return nil
		},
		RunE: func(c *cobra.Command, names []string) error {
			if timeout <= 0 {
				return usage(c, errors.New("--timeout must be above 0"))
			}
			l, err := a.launcher()
			if err != nil {
				return err
			}
			defer a.busy("resuming %s", strings.Join(names, ", "))()
			ctx, cancel := context.WithTimeout(c.Context(), timeout)
			defer cancel()
			return l.ResumeAll(ctx, names)
		},
	}
	c.Flags().DurationVar(&timeout, "timeout", 30*time.Second, "how long to wait for QEMU")
	return c
}
