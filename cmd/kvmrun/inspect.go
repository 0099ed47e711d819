package main

import (
	"github.com/spf13/cobra"

	"kvmrun/launcher"
)

func inspectCommand(a *app) *cobra.Command {
	return &cobra.Command{
		Use:   "inspect NAME",
		Short: "Print everything known of a VM as JSON",
		Long: `Print everything known of a VM as one JSON object: the fields of list --json,
QEMU's actual command line, the completed description, the network plan, the
state, and the paths of its sockets and logs.`,
		Example: `  kvmrun inspect web
  kvmrun inspect web | jq -r '.command | @sh'`,
		Annotations:       ends(launcher.KindNotFound, launcher.KindPermission, launcher.KindStorage),
		Args:              args(oneName),
		ValidArgsFunction: a.completeNames,
		RunE: func(_ *cobra.Command, given []string) error {
			l, err := a.launcher()
			if err != nil {
				return err
			}
			details, err := l.Inspect(given[0])
			if err != nil {
				return err
			}
			return a.print(details)
		},
	}
}
