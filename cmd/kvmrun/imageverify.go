package main

import (
	"fmt"

	"github.com/spf13/cobra"

	"kvmrun/images/store"
	"kvmrun/launcher"
)

// errBadImage says that image verify has printed bad news.
var errBadImage = &badNews{launcher.KindImage, "an image is bad"}

func imageVerifyCommand(a *app) *cobra.Command {
	var asJSON bool
	c := &cobra.Command{
		Use:   "verify [NAME...]",
		Short: "Read images from end to end",
		Long: `Read images from end to end, all of them if none is named: whether they are what
was imported, by their SHA-256, and sound in themselves, by qemu-img check.
Prints a line for each.`,
		Example: `  kvmrun image verify
  kvmrun image verify debian --json`,
		Annotations: ends(launcher.KindNotFound, launcher.KindPermission, launcher.KindHost, launcher.KindImage,
			launcher.KindStorage, launcher.KindCanceled),
		Args:              args(cobra.ArbitraryArgs),
		ValidArgsFunction: a.completeImages,
		RunE: func(c *cobra.Command, names []string) error {
			l, err := a.launcher()
			if err != nil {
				return err
			}
			tell, done := a.counting()
			found, err := l.VerifyImages(c.Context(), names, func(name string, done, total int64) { tell("verifying "+name, done, total) })
			done()
			if err != nil {
				return err
			}
			if asJSON {
				err = a.print(found)
			} else {
				a.printVerdicts(found)
			}
			if err == nil && bad(found) {
				return errBadImage
			}
			return err
		},
	}
	c.Flags().BoolVar(&asJSON, "json", false, "print an array of objects")
	return c
}

func (a *app) printVerdicts(found []store.Verdict) {
	for _, v := range found {
		if v.OK {
			_, _ = fmt.Fprintf(a.out, "ok    %s\n", v.Name)
		} else {
			_, _ = fmt.Fprintf(a.out, "bad   %s: %s\n", v.Name, harmless(v.Problem))
		}
	}
}

func bad(found []store.Verdict) bool {
	for _, v := range found {
		if !v.OK {
			return true
		}
	}
	return false
}
