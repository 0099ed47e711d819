package main

import (
	"fmt"
	"strings"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"kvmrun/images/store"
	"kvmrun/launcher"
)

func imageListCommand(a *app) *cobra.Command {
	var quiet, asJSON bool
	c := &cobra.Command{
		Use:     "ls",
		Aliases: []string{"list"},
		Short:   "List the images",
		Long: `List the images in the order of their names: the size of the disk that a guest
sees, what it takes of this host's disk (images of one content share that), who
needs it, and where it came from.`,
		Example: `  kvmrun image ls
  kvmrun image ls -q
  kvmrun image ls --json | jq -r '.[].path'`,
		Annotations: ends(launcher.KindPermission, launcher.KindStorage),
		Args:        args(noArgs),
		RunE: func(*cobra.Command, []string) error {
			l, err := a.launcher()
			if err != nil {
				return err
			}
			list, err := l.Images()
			switch {
			case err != nil && len(list) == 0:
				return err
			case asJSON:
				return firstOf(a.print(list), err)
			case quiet:
				for _, i := range list {
					_, _ = fmt.Fprintln(a.out, i.Name)
				}
				return err
			}
			return firstOf(a.imageTable(list), err)
		},
	}
	c.Flags().BoolVarP(&quiet, "quiet", "q", false, "print names only")
	c.Flags().BoolVar(&asJSON, "json", false, "print an array of objects")
	return c
}

// imageTable prints the images for people.
func (a *app) imageTable(list []store.Image) error {
	w := tabwriter.NewWriter(a.out, 0, 0, 2, ' ', 0)
	_, _ = fmt.Fprintln(w, "NAME\tDISK\tTAKES\tIMPORTED\tDIGEST\tUSED BY\tFROM")
	for _, i := range list {
		takes := sizeText(i.Size)
		if i.Missing {
			takes = "missing"
		}
		_, _ = fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\t%s\t%s\n", i.Name, sizeText(i.VirtualSize), takes,
			i.Imported.Local().Format("2006-01-02"), i.Digest.Short(), either(strings.Join(i.UsedBy, ", "), "-"), word(i.Source.From))
	}
	return w.Flush()
}
