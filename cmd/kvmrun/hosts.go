package main

import (
	"fmt"

	"github.com/spf13/cobra"

	"kvmrun/launcher"
)

func hostsCommand(a *app) *cobra.Command {
	return &cobra.Command{
		Use:   "hosts",
		Short: "Print the VMs' names and addresses as /etc/hosts has them",
		Long: `Print a line for each VM that runs, in the form of /etc/hosts (hosts(5)): its
address, its name, and what the guest is called if that is another name.`,
		Example:     `  kvmrun hosts > hosts.kvmrun      # for dnsmasq --addn-hosts`,
		Annotations: ends(launcher.KindPermission, launcher.KindStorage),
		Args:        args(noArgs),
		RunE: func(*cobra.Command, []string) error {
			l, err := a.launcher()
			if err != nil {
				return err
			}
			hosts, err := l.Hosts()
			for _, h := range hosts {
				_, _ = fmt.Fprintln(a.out, h)
			}
			return err
		},
	}
}
