package main

import (
	"fmt"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"kvmrun/launcher"
)

func listCommand(a *app) *cobra.Command {
	var all, quiet, asJSON bool
	c := &cobra.Command{
		Use:     "list",
		Aliases: []string{"ls", "ps"},
		Short:   "List the VMs",
		Long: `List the VMs that exist, in the order of their names. One that stands still
because no space is left for a disk image is listed with the reason, and so is
one whose guest's kernel has panicked. With -a also those that failed, with the
reason (kvmrun stop NAME removes such a record), and those that are stopped and
whose disks are kept (kvmrun rm NAME removes them).`,
		Example: `  kvmrun list
  kvmrun list -a
  kvmrun list -q | xargs kvmrun stop
  kvmrun list --json | jq -r '.[].ip'`,
		Annotations: ends(launcher.KindPermission, launcher.KindStorage),
		Args:        args(noArgs),
		RunE: func(*cobra.Command, []string) error {
			l, err := a.launcher()
			if err != nil {
				return err
			}
			vms, err := l.List(all)
			if err != nil && len(vms) == 0 {
				return err
			}
			switch {
			case asJSON:
				return firstOf(a.print(vms), err)
			case quiet:
				for _, vm := range vms {
					_, _ = fmt.Fprintln(a.out, vm.Name)
				}
				return err
			}
			return firstOf(a.table(vms), err)
		},
	}
	c.Flags().BoolVarP(&all, "all", "a", false, "list VMs that failed or are stopped, too")
	c.Flags().BoolVarP(&quiet, "quiet", "q", false, "print names only")
	c.Flags().BoolVar(&asJSON, "json", false, "print an array of objects")
	return c
}

func firstOf(errs ...error) error {
	for _, err := range errs {
		if err != nil {
			return err
		}
	}
	return nil
}

// table prints the VMs for people.
func (a *app) table(vms []launcher.VM) error {
	w := tabwriter.NewWriter(a.out, 0, 0, 2, ' ', 0)
	_, _ = fmt.Fprintln(w, "NAME\tSTATE\tIP\tMAC\tTAP\tPID\tUP\tIMAGE")
	for _, vm := range vms {
		_, _ = fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\t%s\t%s\t%s\n",
			vm.Name, stateText(vm), either(vm.IP, "-"), either(vm.MAC, "-"), either(vm.Tap, "-"), pidText(vm), upText(vm), word(vm.Image))
	}
	if err := w.Flush(); err != nil {
		return err
	}
	for _, vm := range vms {
		if vm.Reason != "" {
			_, _ = fmt.Fprintf(a.out, "\n%s: %s\n", vm.Name, strings.Join(harmlessLines(vm.Reason), "\n"))
		}
		if !vm.Panicked.IsZero() {
			_, _ = fmt.Fprintf(a.out, "\n%s: the guest's kernel has panicked, at %s; see kvmrun logs %s\n",
				vm.Name, vm.Panicked.Format(time.RFC3339), vm.Name)
		}
		if c := vm.Conflict; c != nil {
			_, _ = fmt.Fprintf(a.out, "\n%s: %s on the LAN claims %s, too, since %s\n",
				vm.Name, harmless(c.MAC), vm.IP, c.Since.Format(time.RFC3339))
		}
	}
	return nil
}

// stateText marks a VM that nobody looks after at this moment. The next command
// that does something, and another VM's supervisor, put one on it.
func stateText(vm launcher.VM) string {
	if !vm.Supervised && vm.State != launcher.Failed && vm.State != launcher.Dead && vm.State != launcher.Stopped {
		return string(vm.State) + " (unsupervised)"
	}
	return string(vm.State)
}

func pidText(vm launcher.VM) string {
	if vm.PID == 0 {
		return "-"
	}
	return fmt.Sprint(vm.PID)
}

func upText(vm launcher.VM) string {
	if vm.Started.IsZero() || vm.PID == 0 {
		return "-"
	}
	up := max(time.Since(vm.Started), 0) // the clock may have been set back
	switch {
	case up < time.Minute:
		return up.Truncate(time.Second).String()
	case up < 48*time.Hour:
		return fmt.Sprintf("%dh%02dm", int(up.Hours()), int(up.Minutes())%60)
	}
	return fmt.Sprintf("%dd", int(up.Hours())/24)
}
