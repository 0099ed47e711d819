package main

import (
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"kvmrun/launcher"
	"kvmrun/netplumb/hostcheck"
)

// errUnwell says that host check has printed bad news.
var errUnwell = &badNews{kindUnwell, "there is something to mend"}

func hostCommand(a *app) *cobra.Command {
	c := &cobra.Command{
		Use:     "host",
		Short:   "Look after this host",
		Example: "  kvmrun host check",
		Args:    cobra.ArbitraryArgs,
		RunE:    noSuchCommand,
	}
	c.AddCommand(hostCheckCommand(a))
	return c
}

func hostCheckCommand(a *app) *cobra.Command {
	var asJSON bool
	var program string
	c := &cobra.Command{
		Use:   "check",
		Short: "Review this host and every VM's network",
		Long: `Review what on this host may get in the way of VMs (a firewall's FORWARD policy,
reverse-path filters, missing devices, QEMU's version), and for each VM the tap,
route, proxy entry, sysctls and gateway as they should be and as they are, with
the command that mends what is wrong. Nothing is changed.`,
		Example: `  kvmrun host check
  kvmrun host check --json | jq '.[] | select(.status != "ok")'`,
		Annotations: ends(launcher.KindPermission, launcher.KindStorage, kindUnwell),
		Args:        args(noArgs),
		RunE: func(c *cobra.Command, _ []string) error {
			l, err := a.launcher()
			if err != nil {
				return err
			}
			checks, err := l.CheckHost(c.Context(), program)
			if err != nil {
				return err
			}
			if asJSON {
				err = a.print(checks)
			} else {
				a.printChecks(checks)
			}
			if err == nil && unwell(checks) {
				return errUnwell
			}
			return err
		},
	}
	c.Flags().BoolVar(&asJSON, "json", false, "print an array of objects")
	c.Flags().StringVar(&program, "qemu", fromEnv("KVMRUN_QEMU", "qemu-system-x86_64"), "QEMU's program (KVMRUN_QEMU)")
	return c
}

func unwell(checks []launcher.Check) bool {
	for _, c := range checks {
		if c.Status == hostcheck.Fail {
			return true
		}
	}
	return false
}

// printChecks prints one line a check, and its remedy below.
func (a *app) printChecks(checks []launcher.Check) {
	vm := ""
	for _, c := range checks {
		if c.VM != vm {
			vm = c.VM
			_, _ = fmt.Fprintf(a.out, "\n%s\n", vm)
		}
		_, _ = fmt.Fprintf(a.out, "%-4s  %s: %s\n", c.Status, harmless(c.Name), indented("      ", c.Have))
		if c.Status == hostcheck.OK {
			continue
		}
		if c.Want != "" {
			_, _ = fmt.Fprintf(a.out, "      should be: %s\n", indented("                 ", c.Want))
		}
		if c.Remedy != "" {
			_, _ = fmt.Fprintf(a.out, "      remedy: %s\n", indented("              ", c.Remedy))
		}
	}
}

// indented is a text whose lines but the first are indented.
func indented(by, text string) string {
	return strings.Join(harmlessLines(text), "\n"+by)
}
