package main

import (
	"errors"
	"fmt"
	"net/netip"
	"time"

	"github.com/spf13/cobra"

	"kvmrun/launcher"
)

// errUnreachable says that net explain has printed bad news.
var errUnreachable = &badNews{kindUnreachable, "the VM cannot be reached"}

func netCommand(a *app) *cobra.Command {
	c := &cobra.Command{
		Use:     "net",
		Short:   "Look after a VM's network",
		Example: "  kvmrun net explain web",
		Args:    cobra.ArbitraryArgs,
		RunE:    noSuchCommand,
	}
	c.AddCommand(netExplainCommand(a))
	return c
}

func netExplainCommand(a *app) *cobra.Command {
	var asJSON bool
	var with string
	var timeout time.Duration
	c := &cobra.Command{
		Use:   "explain NAME",
		Short: "Say why a VM cannot be reached, or that it can",
		Long: `Say why a VM cannot be reached, or that it can. Pings and ARP are sent on its
tap and on the uplink, each way, and watched for at both; routes, filters, proxy
entries and neighbours are looked at. What was seen is printed hop by hop from
the guest to the LAN, with the command that mends what is wrong. The first hop
that fails is the one to mend. Nothing is changed.

On the LAN the host's default router is tried with, or the machine at --with.`,
		Example: `  kvmrun net explain web
  kvmrun net explain web --with 192.0.2.20
  kvmrun net explain web --json | jq -r '.broken'`,
		Annotations: ends(launcher.KindNotFound, launcher.KindPermission, launcher.KindStorage,
			kindUnreachable, launcher.KindCanceled),
		Args:              args(oneName),
		ValidArgsFunction: a.completeNames,
		RunE: func(c *cobra.Command, given []string) error {
			o := launcher.ExplainOptions{Timeout: timeout}
			if with != "" {
				var err error
				if o.With, err = netip.ParseAddr(with); err != nil {
					return usage(c, fmt.Errorf("--with %.40q is not an IPv4 address", with))
				}
			}
			if timeout <= 0 {
				return usage(c, errors.New("--timeout must be above 0"))
			}
			l, err := a.launcher()
			if err != nil {
				return err
			}
			found, err := l.Explain(c.Context(), given[0], o)
			if err != nil {
				return err
			}
			if asJSON {
				err = a.print(found)
			} else {
				a.printHops(found)
			}
			if err == nil && !found.Reachable {
				return errUnreachable
			}
			return err
		},
	}
	c.Flags().BoolVar(&asJSON, "json", false, "print an object")
	c.Flags().StringVar(&with, "with", "", "the machine of the LAN to try with (default: the default router)")
	c.Flags().DurationVar(&timeout, "timeout", time.Second, "how long to wait for each answer")
	return c
}

// printHops prints one line a hop, what to do below, and the sum. What comes after
// the first hop that fails may only come of that.
func (a *app) printHops(e launcher.Explanation) {
	for _, h := range e.Hops {
		_, _ = fmt.Fprintf(a.out, "%-7s  %s: %s\n", h.Status, h.Name, indented("         ", h.Seen))
		if h.Remedy != "" {
			_, _ = fmt.Fprintf(a.out, "         remedy: %s\n", indented("                 ", h.Remedy))
		}
		if h.Look != "" && h.Name == e.Broken {
			_, _ = fmt.Fprintf(a.out, "         look:   %s\n", indented("                 ", h.Look))
		}
	}
	if e.Reachable {
		_, _ = fmt.Fprintf(a.out, "\n%s is reached at %s\n", e.VM, e.IP)
		return
	}
	_, _ = fmt.Fprintf(a.out, "\n%s is not reached at %s: the first hop that fails is %s\n", e.VM, e.IP, e.Broken)
}
