package main

import (
	"errors"

	"github.com/spf13/cobra"

	"kvmrun/launcher"
)

func renameCommand(a *app) *cobra.Command {
	return &cobra.Command{
		Use:   "rename NAME NEW",
		Short: "Give a stopped VM another name",
		Long: `Give a VM another name that is stopped and was started from the store: the
disks that are kept of it are NEW's from now on. With its name the VM's identity
becomes another, the machine's UUID too: when it starts next, a guest with
cloud-init takes the new host name and SSH host key. A VM that runs is refused.`,
		Example: `  kvmrun stop web && kvmrun rename web web-old`,
		Annotations: ends(launcher.KindNotFound, launcher.KindExists, launcher.KindPermission, launcher.KindImageInUse,
			launcher.KindTimeout, launcher.KindStorage, launcher.KindCanceled),
		ValidArgsFunction: a.completeEnded,
		Args: args(func(_ *cobra.Command, given []string) error {
			if len(given) != 2 {
				return errors.New("name the VM and what it is to be called")
			}
			return nil
		}),
		RunE: func(c *cobra.Command, given []string) error {
			l, err := a.launcher()
			if err != nil {
				return err
			}
			return l.Rename(c.Context(), given[0], given[1])
		},
	}
}
