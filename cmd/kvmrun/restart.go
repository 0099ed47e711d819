package main

import (
	"errors"
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"kvmrun/launcher"
)

func restartCommand(a *app) *cobra.Command {
	o := launcher.StopOptions{Note: a.note}
	var asJSON bool
	c := &cobra.Command{
		Use:   "restart NAME...",
		Short: "Stop VMs and start them again",
		Long: `Stop VMs as kvmrun stop does, and start them again from the same description:
with the same name, address, MAC and UUID, so that to its guest it is the same
machine with another boot. QEMU is another, of the version that is installed by
now. What was written over --ephemeral disks is gone. A VM that failed (see
kvmrun list -a) is started again, too.

Returns when QEMU runs, printing each VM's name and address; kvmrun wait waits
for more. If a VM does not start again, it is stopped, and its description is
gone; kvmrun inspect has it before.`,
		Example: `  kvmrun restart web
  kvmrun restart web db --timeout 2m --json`,
		Annotations: ends(launcher.KindNotFound, launcher.KindExists, launcher.KindPermission, launcher.KindHost,
			launcher.KindImage, launcher.KindImageInUse, launcher.KindAddress, launcher.KindNetwork,
			launcher.KindQEMU, launcher.KindTimeout, launcher.KindStorage, launcher.KindEnded, launcher.KindCanceled),
		ValidArgsFunction: a.completeNames,
		Args: func(c *cobra.Command, given []string) error {
			if len(given) == 0 {
				return usage(c, errors.New("name the VMs to restart"))
			}
			return nil
		},
		RunE: func(c *cobra.Command, names []string) error {
			if o.Timeout <= 0 {
				return usage(c, errors.New("--timeout must be above 0; to ask the guest nothing, say --force"))
			}
			l, err := a.launcher()
			if err != nil {
				return err
			}
			done := a.busy("restarting %s", strings.Join(names, ", "))
			vms, err := l.RestartEach(c.Context(), names, o)
			done()
			if asJSON {
				return firstOf(a.print(vms), err)
			}
			for _, vm := range vms {
				_, _ = fmt.Fprintf(a.out, "%s %s\n", vm.Name, vm.IP)
			}
			return err
		},
	}
	c.Flags().BoolVar(&o.Force, "force", false, "do not ask the guest: make QEMU write out its disks and quit")
	c.Flags().DurationVar(&o.Timeout, "timeout", launcher.DefaultStopTimeout, "how long a guest may take to shut down")
	c.Flags().BoolVar(&asJSON, "json", false, "print an array of objects, as kvmrun list does")
	return c
}
