package main

import (
	"fmt"

	"github.com/spf13/cobra"

	"kvmrun/launcher"
)

func imagePathCommand(a *app) *cobra.Command {
	return &cobra.Command{
		Use:   "path NAME",
		Short: "Print the file that an image lies in",
		Long: `Print the path of the file that an image lies in, a qcow2 file. It may be read
and be a backing file, and must never be written to: its name is the SHA-256 of
what is in it.`,
		Example: `  kvmrun image path debian
  kvmrun start --ephemeral $(kvmrun image path debian)`,
		Annotations:       ends(launcher.KindNotFound, launcher.KindPermission, launcher.KindImage, launcher.KindStorage),
		Args:              args(oneImage),
		ValidArgsFunction: a.completeImages,
		RunE: func(_ *cobra.Command, given []string) error {
			l, err := a.launcher()
			if err != nil {
				return err
			}
			path, err := l.ImagePath(given[0])
			if err != nil {
				return err
			}
			_, err = fmt.Fprintln(a.out, path)
			return err
		},
	}
}
