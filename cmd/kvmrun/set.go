package main

import (
	"context"
	"errors"

	"github.com/spf13/cobra"

	"kvmrun/launcher"
)

func setCommand(a *app) *cobra.Command {
	var link string
	c := askCommand(a, &cobra.Command{
		Use:   "set NAME... --link up|down",
		Short: "Change VMs that run",
		Long: `Change VMs that run. --link down takes the link of the guest's network card
down, as if the cable were pulled out: nothing comes in or goes out, and the
guest is told, if its driver hears of it. --link up puts the cable back.
Address, tap and route stay meanwhile. A link stays as it is through a reset of
the machine and under another supervisor. A VM that is started, or restarted,
has its link up.`,
		Example: `  kvmrun set web --link down
  kvmrun set web db --link up`,
		Annotations: ends(launcher.KindNotFound, launcher.KindPermission, launcher.KindQEMU,
			launcher.KindTimeout, launcher.KindStorage, launcher.KindEnded, launcher.KindCanceled),
	}, "setting", func(l *launcher.Launcher, ctx context.Context, names []string) error {
		return l.SetLinkAll(ctx, names, link)
	})
	c.Flags().StringVar(&link, "link", "", "of the network card: up|down")
	c.PreRunE = func(c *cobra.Command, _ []string) error {
		if link == "" {
			return usage(c, errors.New("say what to change, by --link"))
		}
		return nil
	}
	_ = c.RegisterFlagCompletionFunc("link", cobra.FixedCompletions([]string{launcher.LinkUp, launcher.LinkDown}, cobra.ShellCompDirectiveNoFileComp))
	return c
}
