package main

import (
	"fmt"

	"github.com/spf13/cobra"

	"kvmrun/launcher"
)

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
