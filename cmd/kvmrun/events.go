package main

import (
	"github.com/spf13/cobra"

	"kvmrun/launcher"
	"kvmrun/launcher/vmdir"
)

func eventsCommand(a *app) *cobra.Command {
	var follow bool
	c := &cobra.Command{
		Use:   "events NAME",
		Short: "Print what has happened to a VM",
		Long: `Print what has happened to a VM, one JSON object a line with time, event and
data: kvmrun's own events in small letters, QEMU's in capitals (see "Events" in
QEMU's QMP reference).`,
		Example: `  kvmrun events web
  kvmrun events web -f | jq -r .event`,
		Annotations:       ends(launcher.KindNotFound, launcher.KindPermission, launcher.KindStorage, launcher.KindCanceled),
		Args:              args(oneName),
		ValidArgsFunction: a.completeNames,
		RunE: func(c *cobra.Command, given []string) error {
			l, err := a.launcher()
			if err != nil {
				return err
			}
			return l.Follow(c.Context(), launcher.VM{Name: given[0]}, vmdir.EventsFile, a.out, follow)
		},
	}
	c.Flags().BoolVarP(&follow, "follow", "f", false, "go on until the VM ends")
	return c
}
