package main

import (
	"context"
	"encoding/json"
	"errors"
	"time"

	"github.com/spf13/cobra"

	"kvmrun/launcher"
)

func qmpCommand(a *app) *cobra.Command {
	var timeout time.Duration
	c := &cobra.Command{
		Use:   "qmp NAME COMMAND [JSON]",
		Short: "Run a command on a VM's QEMU monitor",
		Long: `Run a command of QEMU's monitor (QMP) and print its reply as JSON. The commands
are those of QEMU's QMP reference; their arguments are one JSON object. QEMU
serves one client at a time: others wait for their turn until --timeout.`,
		Example: `  kvmrun qmp web query-status
  kvmrun qmp web query-block | jq -r '.[].device'
  kvmrun qmp web human-monitor-command '{"command-line": "info network"}'`,
		Annotations: ends(launcher.KindNotFound, launcher.KindPermission, launcher.KindQEMU,
			launcher.KindTimeout, launcher.KindStorage, launcher.KindEnded, launcher.KindCanceled),
		Args:              args(qmpArgs),
		ValidArgsFunction: a.completeNames,
		RunE: func(c *cobra.Command, given []string) error {
			var arguments json.RawMessage
			if len(given) == 3 {
				var object map[string]any
				if json.Unmarshal([]byte(given[2]), &object) != nil {
					return usage(c, errors.New("the arguments are not a JSON object"))
				}
				arguments = json.RawMessage(given[2])
			}
			if given[1] == "" {
				return usage(c, errors.New("the monitor's command is empty"))
			}
			if timeout <= 0 {
				return usage(c, errors.New("--timeout must be above 0"))
			}
			l, err := a.launcher()
			if err != nil {
				return err
			}
			ctx, cancel := context.WithTimeout(c.Context(), timeout)
			defer cancel()
			reply, err := l.Command(ctx, given[0], given[1], arguments)
			if err != nil {
				return err
			}
			return a.print(reply)
		},
	}
	c.Flags().DurationVar(&timeout, "timeout", 30*time.Second, "how long to wait for the monitor and the reply")
	return c
}

func qmpArgs(_ *cobra.Command, given []string) error {
	switch {
	case len(given) == 0:
		return errors.New("name the VM and the monitor's command")
	case len(given) == 1:
		return errors.New("name the monitor's command")
	case len(given) > 3:
		return errors.New("the command's arguments are one JSON object")
	}
	return nil
}
