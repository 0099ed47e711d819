package main

import (
	"context"
	"errors"
	"fmt"

	"github.com/spf13/cobra"

	"kvmrun/launcher"
)

func setCommand(a *app) *cobra.Command {
	var link, memory string
	var bytes int64
	c := askCommand(a, &cobra.Command{
		Use:   "set NAME...",
		Short: "Change VMs that run",
		Long: `Change VMs that run, in one way or several.

--link down takes the link of the guest's network card down, as if the cable
were pulled out: nothing comes in or goes out, and the guest is told, if its
driver hears of it. --link up puts the cable back. Address, tap and route stay
meanwhile. A link stays as it is through a reset of the machine and under
another supervisor.

--memory has the machine's memory balloon leave the guest so much of what it was
started with, and returns when the guest has followed. It needs the device, by
start … -- -device virtio-balloon-pci, and a driver in the guest. One that has
not followed within --timeout goes on as it can.

A VM that is started, or restarted, has its link up and all of its memory.`,
		Example: `  kvmrun set web --link down
  kvmrun set web db --link up
  kvmrun set web --memory 1G`,
		Annotations: ends(launcher.KindNotFound, launcher.KindPermission, launcher.KindHost, launcher.KindQEMU,
			launcher.KindTimeout, launcher.KindStorage, launcher.KindEnded, launcher.KindCanceled),
	}, "setting", func(l *launcher.Launcher, ctx context.Context, names []string) error {
		if link != "" {
			if err := l.SetLinkAll(ctx, names, link); err != nil {
				return err
			}
		}
		if memory != "" {
			return l.SetMemoryAll(ctx, names, bytes)
		}
		return nil
	})
	c.Flags().StringVar(&link, "link", "", "of the network card: up|down")
	c.Flags().StringVar(&memory, "memory", "", "what the guest keeps, in units of 1024 (a number alone: MiB)")
	c.PreRunE = func(c *cobra.Command, _ []string) (err error) {
		if link == "" && memory == "" {
			return usage(c, errors.New("say what to change, by --link or --memory"))
		}
		if memory != "" {
			if bytes, err = launcher.ParseSize(memory); err != nil {
				return fmt.Errorf("--memory: %w", err)
			}
		}
		return nil
	}
	_ = c.RegisterFlagCompletionFunc("link", cobra.FixedCompletions([]string{launcher.LinkUp, launcher.LinkDown}, cobra.ShellCompDirectiveNoFileComp))
	return c
}
