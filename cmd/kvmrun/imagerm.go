package main

import (
	"errors"
	"fmt"

	"github.com/spf13/cobra"

	"kvmrun/launcher"
)

func imageRemoveCommand(a *app) *cobra.Command {
	return &cobra.Command{
		Use:     "rm NAME...",
		Aliases: []string{"remove"},
		Short:   "Remove images",
		Long: `Remove images: the names, and with the last name of a content the content. One
that a VM needs, or that another QEMU has open, stays, with its name, and who it
is is said; it may lose a name if it has another one. An image whose record is
damaged can be removed, too; kvmrun image prune then takes its content.`,
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

func imagePruneCommand(a *app) *cobra.Command {
	var dryRun, asJSON bool
	c := &cobra.Command{
		Use:   "prune",
		Short: "Remove what no image needs any more",
		Long: `Remove from the store what has no name and nobody needs: the content of names
that were lost or replaced, and what imports have left that were killed. Images
that have a name stay. If the record of a name cannot be read, no content is
removed, for it may be that one's.`,
		Example: `  kvmrun image prune --dry-run
  kvmrun image prune`,
		Annotations: ends(launcher.KindPermission, launcher.KindTimeout, launcher.KindStorage, launcher.KindCanceled),
		Args:        args(noArgs),
		RunE: func(c *cobra.Command, _ []string) error {
			l, err := a.launcher()
			if err != nil {
				return err
			}
			found, err := l.PruneImages(c.Context(), dryRun)
			if asJSON {
				return firstOf(a.print(found), err)
			}
			for _, f := range found {
				what := "removed"
				switch {
				case f.Removed:
				case dryRun:
					what = "would remove"
				default:
					what = "failed"
				}
				_, _ = fmt.Fprintf(a.out, "%-12s %8s  %s\n", what, sizeText(f.Size), word(f.Path))
			}
			return err
		},
	}
	c.Flags().BoolVarP(&dryRun, "dry-run", "n", false, "only list what would be removed")
	c.Flags().BoolVar(&asJSON, "json", false, "print an array of objects")
	return c
}
