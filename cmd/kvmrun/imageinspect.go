package main

import (
	"fmt"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"kvmrun/images/store"
	"kvmrun/launcher"
)

func imageInspectCommand(a *app) *cobra.Command {
	var asJSON bool
	c := &cobra.Command{
		Use:   "inspect NAME",
		Short: "Print what is known of an image",
		Long: `Print what is known of an image: its digest, the size of the disk that a guest
sees, what it takes of this host's disk, where it came from and when, the file
that it lies in, and who needs it.`,
		Example: `  kvmrun image inspect debian
  kvmrun image inspect debian --json | jq -r .source.digest`,
		Annotations:       ends(launcher.KindNotFound, launcher.KindPermission, launcher.KindStorage),
		Args:              args(oneImage),
		ValidArgsFunction: a.completeImages,
		RunE: func(_ *cobra.Command, given []string) error {
			l, err := a.launcher()
			if err != nil {
				return err
			}
			i, err := l.InspectImage(given[0])
			if err != nil {
				return err
			}
			if asJSON {
				return a.print(i)
			}
			return a.describeImage(i)
		},
	}
	c.Flags().BoolVar(&asJSON, "json", false, "print an object")
	return c
}

func (a *app) describeImage(i store.Image) error {
	w := tabwriter.NewWriter(a.out, 0, 0, 2, ' ', 0)
	row := func(what, value string) { _, _ = fmt.Fprintf(w, "%s\t%s\n", what, value) }
	row("Name", i.Name)
	row("Digest", string(i.Digest))
	row("Disk", fmt.Sprintf("%s (%d bytes)", sizeText(i.VirtualSize), i.VirtualSize))
	if i.Missing {
		row("Takes", "nothing: the content is missing")
	} else {
		row("Takes", fmt.Sprintf("%s (%d bytes)", sizeText(i.Size), i.Size))
	}
	row("From", word(i.Source.From))
	row("Format", string(i.Source.Format))
	if i.Source.Digest != "" && i.Source.Digest != i.Digest {
		row("Digest there", string(i.Source.Digest))
	}
	row("Imported", i.Imported.Local().Format(time.RFC3339))
	row("Path", word(i.Path))
	row("Used by", either(strings.Join(i.UsedBy, ", "), "nobody"))
	return w.Flush()
}
