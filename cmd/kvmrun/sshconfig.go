package main

import (
	"fmt"

	"github.com/spf13/cobra"

	"kvmrun/launcher"
)

func sshConfigCommand(a *app) *cobra.Command {
	return &cobra.Command{
		Use:   "ssh-config [NAME...]",
		Short: "Print what makes VMs' names known to ssh",
		Long: `Print a stanza for ssh's configuration for each VM that runs, or for those that
are named. With it plain ssh NAME works, and scp, rsync, sftp and Ansible, which
call ssh. Nothing is asked; see kvmrun ssh --help.`,
		Example: `  kvmrun ssh-config > ~/.ssh/kvmrun      # and in ~/.ssh/config: Include kvmrun
  ssh -F <(kvmrun ssh-config) web
  rsync -e 'ssh -F kvmrun.conf' -a site/ web:/srv/`,
		Annotations:       ends(launcher.KindNotFound, launcher.KindPermission, launcher.KindStorage, launcher.KindEnded),
		ValidArgsFunction: a.completeNames,
		RunE: func(_ *cobra.Command, names []string) error {
			l, err := a.launcher()
			if err != nil {
				return err
			}
			vms, err := l.AllSSH(names)
			for _, s := range vms {
				_, _ = fmt.Fprintln(a.out, s.Stanza())
			}
			return err
		},
	}
}
