package main

import (
	"errors"
	"strings"

	"github.com/spf13/cobra"

	"kvmrun/launcher"
)

func rmCommand(a *app) *cobra.Command {
	return &cobra.Command{
		Use:   "rm NAME...",
		Short: "Remove the disks of stopped VMs",
		Long: `Remove what is kept of VMs that are stopped: the disks that began with an image
in the store, with all that the guests have written to them, and the records of
those that failed. The image itself stays, and so does a disk that is a file of
yours. A VM that runs is refused, and so is one whose disks a QEMU has open.`,
		Example: `  kvmrun stop web && kvmrun rm web
  kvmrun list -a`,
		Annotations: ends(launcher.KindNotFound, launcher.KindExists, launcher.KindPermission, launcher.KindImage,
			launcher.KindImageInUse, launcher.KindStorage),
		ValidArgsFunction: a.completeEnded,
		Args: args(func(_ *cobra.Command, given []string) error {
			if len(given) == 0 {
				return errors.New("name the VMs whose disks are to go")
			}
			return nil
		}),
		RunE: func(c *cobra.Command, names []string) error {
			l, err := a.launcher()
			if err != nil {
				return err
			}
			defer a.busy("removing %s", strings.Join(names, ", "))()
			return l.RemoveVMs(c.Context(), names)
		},
	}
}
