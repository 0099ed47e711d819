package main

import (
	"errors"

	"github.com/spf13/cobra"

	"kvmrun/launcher"
)

func imageRemoveCommand(a *app) *cobra.Command {
	return &cobra.Command{
		Use:     "rm NAME...",
		Aliases: []string{"remove"},
		Short:   "Remove images",
		Long: `Remove images: the names, and with the last name of a content the content. One
that a VM needs, or the disk that is kept of one, or that another QEMU has open,
stays, with its name, and who it is is said; it may lose a name if it has
another one. An image whose record is damaged can be removed, too; kvmrun image
prune then takes its content.`,
		Example: `  kvmrun image rm debian
  kvmrun image ls -q | xargs kvmrun image rm`,
		Annotations: ends(launcher.KindNotFound, launcher.KindPermission, launcher.KindImageInUse,
			launcher.KindTimeout, launcher.KindStorage, launcher.KindCanceled),
		Args: func(c *cobra.Command, given []string) error {
			if len(given) == 0 {
				return usage(c, errors.New("name the images to remove"))
			}
			return nil
		},
		ValidArgsFunction: a.completeImages,
		RunE: func(c *cobra.Command, names []string) error {
			l, err := a.launcher()
			if err != nil {
				return err
			}
			return l.RemoveImages(c.Context(), names)
		},
	}
}
