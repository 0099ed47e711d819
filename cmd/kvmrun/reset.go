package main

import (
	"github.com/spf13/cobra"

	"kvmrun/launcher"
)

func resetCommand(a *app) *cobra.Command {
	return askCommand(a, &cobra.Command{
		Use:   "reset NAME...",
		Short: "Reset VMs as by the button on the machine",
		Long: `Reset VMs as by the button on the machine: the guests boot anew, without having
been asked to shut down, and lose what they had not written to their disks.
QEMU, the address and what --ephemeral disks hold stay. Returns when the
machines have been reset; kvmrun wait then waits for what the new boot brings.
A VM that stands still does so in the new boot, too.

kvmrun restart asks the guest to shut down, and starts another QEMU.`,
		Example: `  kvmrun reset web
  kvmrun reset web db --timeout 5s`,
		Annotations: ends(launcher.KindNotFound, launcher.KindPermission, launcher.KindQEMU,
			launcher.KindTimeout, launcher.KindStorage, launcher.KindEnded, launcher.KindCanceled),
	}, "resetting", (*launcher.Launcher).ResetAll)
}
