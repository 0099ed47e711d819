package main

import (
	"github.com/spf13/cobra"

	"kvmrun/launcher"
)

func resumeCommand(a *app) *cobra.Command {
	return askCommand(a, &cobra.Command{
		Use:   "resume NAME...",
		Short: "Let VMs go on that stand still",
		Long: `Let VMs go on that stand still: by kvmrun pause, because no space was left for
a disk image (kvmrun list says so), because of the monitor's command stop, or
because QEMU was started with -S. What the guest wanted to write meanwhile is
written now. Returns when the guests run. One that stands still again at once,
because there is still no space, is a failure. A VM that runs is left alone.`,
		Example: `  kvmrun resume web
  kvmrun resume web db --timeout 5s`,
		Annotations: ends(launcher.KindNotFound, launcher.KindPermission, launcher.KindQEMU,
			launcher.KindTimeout, launcher.KindStorage, launcher.KindEnded, launcher.KindCanceled),
	}, "resuming", (*launcher.Launcher).ResumeAll)
}
