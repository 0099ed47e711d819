package main

import (
	"github.com/spf13/cobra"

	"kvmrun/launcher"
)

func pauseCommand(a *app) *cobra.Command {
	return askCommand(a, &cobra.Command{
		Use:   "pause NAME...",
		Short: "Have VMs stand still",
		Long: `Have VMs stand still until kvmrun resume: their processors stop, their memory
stays. Returns when they do. The guests notice nothing but that time has passed.
A guest that stands still cannot be asked to shut down: kvmrun stop ends QEMU
at once then.`,
		Example: `  kvmrun pause web
  kvmrun pause web db --timeout 5s`,
		Annotations: ends(launcher.KindNotFound, launcher.KindPermission, launcher.KindQEMU,
			launcher.KindTimeout, launcher.KindStorage, launcher.KindEnded, launcher.KindCanceled),
	}, "pausing", (*launcher.Launcher).PauseAll)
}
