package main

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"kvmrun/launcher"
)

func waitCommand(a *app) *cobra.Command {
	var texts []string
	var timeout time.Duration
	var asJSON bool
	c := &cobra.Command{
		Use:   "wait NAME... --for CONDITION",
		Short: "Wait until VMs have come so far",
		Long: `Wait until each of the VMs has met each of the conditions, and return at once
then. A condition that was met once counts as met, whatever comes later.

Conditions:
  running        QEMU runs, the network stands
  net            the guest has answered at its address
  ssh            an SSH server has greeted at port 22 of the guest
  agent          the guest's QEMU agent has answered
  cloud-init     cloud-init has done all that it was to do in this boot, as the
                 guest's agent says or, where kvmrun may log in, a shell there
  port:N         a server at TCP port N of the guest can be connected to
  console:REGEX  the console has said what the expression describes, at any time
                 since the VM was started or reset (syntax: Go's regexp)
  exit           the VM has ended; if not as it should, that is a failure

The wait for all is over at once if one of the VMs ends before, or its guest
fails to boot: its kernel panics, its firmware or boot loader finds nothing to
boot, or it ends up in an emergency shell; and with cloud-init's first error, if
that is waited for. What the console said last is shown then. The console is
believed in this until the guest answers at its address; a wait that begins
later knows of a panic if the guest's kernel has a driver for QEMU's pvpanic
device.`,
		Example: `  kvmrun wait web --for ssh
  kvmrun wait web db --for net --for port:80 --timeout 30s
  kvmrun wait web --for 'console:login: $' --json
  kvmrun wait job --for exit --timeout 1h`,
		Annotations: ends(launcher.KindNotFound, launcher.KindPermission, launcher.KindQEMU, launcher.KindTimeout,
			launcher.KindStorage, launcher.KindEnded, launcher.KindBoot, launcher.KindGuest, launcher.KindCloudInit, launcher.KindCanceled),
		ValidArgsFunction: a.completeNames,
		Args: func(c *cobra.Command, given []string) error {
			if len(given) == 0 {
				return usage(c, errors.New("name the VMs to wait for"))
			}
			return nil
		},
		RunE: func(c *cobra.Command, names []string) error {
			conditions, err := waitsFor(c, texts)
			if err != nil {
				return err
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
			done := a.busy("%s: waiting for %s", strings.Join(names, ", "), strings.Join(texts, " and "))
			waited, err := l.WaitEach(ctx, names, conditions)
			done()
			if asJSON {
				return firstOf(a.print(waited), err)
			}
			return err
		},
	}
	c.Flags().StringArrayVar(&texts, "for", nil, "what to wait for (repeatable; all must be met): "+conditionChoices)
	c.Flags().DurationVar(&timeout, "timeout", 2*time.Minute, "how long to wait")
	c.Flags().BoolVar(&asJSON, "json", false, "print an array of objects: what was met when, and what was not")
	completeConditions(c, "for")
	return c
}

// conditionChoices are what can be waited for, in short.
const conditionChoices = "running|net|ssh|agent|cloud-init|port:N|console:REGEX|exit"

// completeConditions offers conditions, those of the command's own first.
func completeConditions(c *cobra.Command, flag string, own ...string) {
	values := append(own, "running", "net", "ssh", "agent", "cloud-init", "port:", "console:", "exit")
	_ = c.RegisterFlagCompletionFunc(flag, cobra.FixedCompletions(values, cobra.ShellCompDirectiveNoFileComp))
}

// waitsFor reads --for.
func waitsFor(c *cobra.Command, texts []string) ([]launcher.Condition, error) {
	if len(texts) == 0 {
		return nil, usage(c, errors.New("say by --for what to wait for"))
	}
	conditions, err := launcher.ParseConditions(texts)
	if err != nil {
		return nil, fmt.Errorf("--for: %w", err)
	}
	if conditions[0].Is(launcher.WaitNone) {
		return nil, usage(c, errors.New("--for none is to wait for nothing"))
	}
	return conditions, nil
}
