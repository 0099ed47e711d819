package main

import (
	"errors"
	"fmt"

	"github.com/spf13/cobra"

	"kvmrun/images/store"
	"kvmrun/launcher"
)

func commitCommand(a *app) *cobra.Command {
	var replace, asJSON bool
	c := &cobra.Command{
		Use:   "commit NAME IMAGE",
		Short: "Make an image of a stopped VM's disk",
		Long: `Make an image in the store of the first disk that is kept of a VM, which is
stopped and was started from the store: all that the guest saw, in one file. The
disk stays as it is. A disk that is a file of yours is made an image by kvmrun
image import.`,
		Example: `  kvmrun stop web && kvmrun commit web debian-web`,
		Annotations: ends(launcher.KindNotFound, launcher.KindExists, launcher.KindPermission, launcher.KindHost,
			launcher.KindImage, launcher.KindImageInUse, launcher.KindTimeout, launcher.KindStorage, launcher.KindCanceled),
		ValidArgsFunction: a.completeEnded,
		Args: args(func(_ *cobra.Command, given []string) error {
			if len(given) != 2 {
				return errors.New("name the VM and the image to make of its disk")
			}
			return nil
		}),
		RunE: func(c *cobra.Command, given []string) error {
			l, err := a.launcher()
			if err != nil {
				return err
			}
			tell, done := a.counting()
			i, already, err := l.Commit(c.Context(), given[0], store.Request{
				Name: given[1], Replace: replace,
				Progress: func(what store.Stage, done, total int64) { tell(string(what)+" "+given[0], done, total) },
			})
			done()
			if err != nil {
				return err
			}
			if already {
				a.say("image %s has this content already", i.Name)
			}
			if asJSON {
				return a.print(i)
			}
			_, err = fmt.Fprintf(a.out, "%s %s\n", i.Name, i.Digest)
			return err
		},
	}
	c.Flags().BoolVar(&replace, "replace", false, "let the name lead to this image if it has another")
	c.Flags().BoolVar(&asJSON, "json", false, "print the image as JSON")
	return c
}
