package main

import (
	"fmt"

	"github.com/spf13/cobra"

	"kvmrun/launcher"
)

func gcCommand(a *app) *cobra.Command {
	var o launcher.GCOptions
	var asJSON bool
	c := &cobra.Command{
		Use:   "gc",
		Short: "Remove what killed processes left behind",
		Long: `Find what kvmrun has made and nobody holds any more, and take it back. VMs whose
supervisor was killed get a new one. What a VM has left whose QEMU is gone as
well is undone. Folders, leases, overlays and changed settings that belong to no
VM go, and settings get their old values back. A disk that is kept stays, unless
no guest has run with it and nothing was written to it. Records of VMs that
failed stay (kvmrun stop NAME removes them). kvmrun start does the same by
itself, but for kept disks and trying again what could not be undone before.

Only what kvmrun has written down is removed. A tap, proxy entry or alias that
bears kvmrun's marks and is recorded nowhere is listed and left alone.
--unrecorded removes it, too, and ends the QEMU whose tap it is: for when the
run directory was lost and every kvmrun process killed. VMs of another run
directory count as recorded nowhere.`,
		Example: `  kvmrun gc --dry-run
  kvmrun gc`,
		Annotations: ends(launcher.KindPermission, launcher.KindStorage, launcher.KindTimeout, launcher.KindCanceled),
		Args:        args(noArgs),
		RunE: func(c *cobra.Command, _ []string) error {
			l, err := a.launcher()
			if err != nil {
				return err
			}
			o.Note = a.note
			done := a.busy("tidying up")
			found, err := l.GC(c.Context(), o)
			done()
			if asJSON {
				return firstOf(a.print(found), err)
			}
			for _, f := range found {
				_, _ = fmt.Fprintf(a.out, "%-11s %s\n", outcome(f, o.DryRun), word(f.What))
			}
			return err
		},
	}
	c.Flags().BoolVarP(&o.DryRun, "dry-run", "n", false, "only list what would be done")
	c.Flags().BoolVar(&o.Unrecorded, "unrecorded", false, "remove what bears kvmrun's marks and is not recorded, too")
	c.Flags().BoolVar(&asJSON, "json", false, "print an array of objects")
	return c
}

// outcomes are what has been done, in one word.
var outcomes = map[string]string{
	launcher.ActionAdopt: "adopted", launcher.ActionBury: "undone", launcher.ActionRemove: "removed", launcher.ActionUndo: "undone",
}

// outcome is what became of a leftover: "removed", "failed", or in a dry run what
// would be done.
func outcome(f launcher.Leftover, dryRun bool) string {
	switch {
	case f.Action == launcher.ActionLeave:
		return "left alone"
	case f.Done:
		return outcomes[f.Action]
	case dryRun:
		return "would " + f.Action
	}
	return "failed"
}
