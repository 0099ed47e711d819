package main

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"syscall"

	"github.com/spf13/cobra"

	"kvmrun/launcher"
)

func sshCommand(a *app) *cobra.Command {
	return &cobra.Command{
		Use:   "ssh NAME [-- COMMAND...]",
		Short: "Log into a VM by SSH",
		Long: `Log into a VM by this host's own ssh, or run one command in the guest. Nothing
is asked. A guest that was started with a seed disk (--cloud-init on and others)
has a host key that is known before it boots, and takes kvmrun's own key; any
other host key is refused. Without a seed disk your own keys are tried, and the
first host key that the guest shows is kept as long as the VM lives: its address
leads to its own tap, where nobody else can answer.

The words of a command reach the guest as they are, as if typed with quotes.

The exit status is the command's, or 255 where ssh itself failed. Those below
are of failures before ssh is run.`,
		Example: `  kvmrun ssh web
  kvmrun ssh web -- systemctl is-system-running
  tar c site | kvmrun ssh web -- tar x -C /srv`,
		Annotations: ends(launcher.KindNotFound, launcher.KindPermission, launcher.KindHost,
			launcher.KindStorage, launcher.KindEnded),
		ValidArgsFunction: a.completeNames,
		Args:              args(oneNameAndCommand),
		RunE: func(_ *cobra.Command, given []string) error {
			l, err := a.launcher()
			if err != nil {
				return err
			}
			s, err := l.SSH(given[0])
			if err != nil {
				return err
			}
			return become("ssh", s.Args(given[1:]))
		},
	}
}

// oneNameAndCommand allows a VM's name, and any words behind a double dash.
func oneNameAndCommand(c *cobra.Command, given []string) error {
	if dash := c.ArgsLenAtDash(); dash >= 0 {
		given = given[:dash]
	}
	if len(given) > 1 {
		return errors.New("write the command behind a double dash: NAME -- COMMAND")
	}
	return oneName(c, given)
}

// become has another program take this process's place. It returns only if it fails.
func become(program string, argv []string) error {
	path, err := exec.LookPath(program)
	if err != nil {
		return &launcher.Error{Kind: launcher.KindHost, Err: fmt.Errorf("%s is not here", program),
			Advice: "install it (Debian: apt install openssh-client)"}
	}
	return os.NewSyscallError("execve", syscall.Exec(path, argv, os.Environ()))
}
