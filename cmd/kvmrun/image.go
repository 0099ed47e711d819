package main

import "github.com/spf13/cobra"

func imageCommand(a *app) *cobra.Command {
	c := &cobra.Command{
		Use:     "image",
		Aliases: []string{"images"},
		Short:   "Keep disk images by name",
		Long: `Keep disk images by name, in the data directory. What is imported never changes
any more; two names of the same content cost its space once.`,
		Example: `  kvmrun image import debian-12.vmdk debian
  kvmrun start --ephemeral $(kvmrun image path debian)`,
		Args: cobra.ArbitraryArgs,
		RunE: noSuchCommand,
	}
	c.AddCommand(
		imageImportCommand(a), imageListCommand(a), imageInspectCommand(a), imageRemoveCommand(a),
		imageVerifyCommand(a), imagePruneCommand(a), imagePathCommand(a), imageBuildCommand(a),
	)
	return c
}

// completeImages offers the names of the images there are.
func (a *app) completeImages(*cobra.Command, []string, string) ([]string, cobra.ShellCompDirective) {
	l, err := a.launcher()
	if err != nil {
		return nil, cobra.ShellCompDirectiveError
	}
	names, err := l.ImageNames()
	if err != nil {
		return nil, cobra.ShellCompDirectiveError
	}
	return names, cobra.ShellCompDirectiveNoFileComp
}
