package main

import (
	"errors"

	"github.com/spf13/cobra"

	"kvmrun/launcher"
	"kvmrun/launcher/vmdir"
)

func logsCommand(a *app) *cobra.Command {
	var follow, fromQEMU, fromSupervisor bool
	c := &cobra.Command{
		Use:   "logs NAME",
		Short: "Print what a VM's console has said",
		Long: `Print what the VM's serial console has said since the first byte of its
firmware. The log of a VM that failed stays until it is stopped or its name is
used again.`,
		Example: `  kvmrun logs web
  kvmrun logs web -f
  kvmrun logs web --qemu`,
		Annotations:       ends(launcher.KindNotFound, launcher.KindPermission, launcher.KindStorage, launcher.KindCanceled),
		Args:              args(oneName),
		ValidArgsFunction: a.completeNames,
		RunE: func(c *cobra.Command, given []string) error {
			l, err := a.launcher()
			if err != nil {
				return err
			}
			file := vmdir.ConsoleLog
			switch {
			case fromQEMU && fromSupervisor:
				return usage(c, errors.New("choose --qemu or --supervisor"))
			case fromQEMU:
				file = vmdir.QEMULog
			case fromSupervisor:
				file = vmdir.SupervisorLog
			}
			return l.Follow(c.Context(), launcher.VM{Name: given[0]}, file, a.out, follow)
		},
	}
	c.Flags().BoolVarP(&follow, "follow", "f", false, "go on until the VM ends")
	c.Flags().BoolVar(&fromQEMU, "qemu", false, "what QEMU itself said")
	c.Flags().BoolVar(&fromSupervisor, "supervisor", false, "what the VM's supervisor said")
	return c
}
