package main

import (
	"errors"
	"fmt"
	"path/filepath"

	"github.com/spf13/cobra"

	"kvmrun/images"
	"kvmrun/images/store"
	"kvmrun/launcher"
)

func imageImportCommand(a *app) *cobra.Command {
	var r store.Request
	var format string
	var asJSON bool
	c := &cobra.Command{
		Use:   "import FILE NAME",
		Short: "Make an image of a file",
		Long: `Make an image of a file: qcow2, raw, VMDK, VDI, VHDX or VHD (vpc). The file is
read and left as it is. A qcow2 file that is a disk by itself is kept byte for
byte; everything else becomes one, with backing files and without snapshots.
Prints the image's name and digest. If the name has this content already, that
is said, and all is well. Any number of imports may run at the same time; one
that is interrupted or killed leaves no image.

qemu-img converts, as a user without rights, where no network is. It opens no
file that an image's header names: a VMDK whose data lie in several files, or
one that has only what differs from another, is refused. The backing files of a
qcow2 image must lie in its own folder, unless --allow-backing is said.`,
		Example: `  kvmrun image import debian-12.qcow2 debian
  kvmrun image import --format raw /dev/vg/web web
  kvmrun image import --replace build/disk.raw nightly`,
		Annotations: ends(launcher.KindExists, launcher.KindPermission, launcher.KindHost, launcher.KindImage,
			launcher.KindImageInUse, launcher.KindTimeout, launcher.KindStorage, launcher.KindCanceled),
		Args: args(func(_ *cobra.Command, given []string) error {
			if len(given) != 2 {
				return errors.New("name the file and the image to make of it")
			}
			return nil
		}),
		RunE: func(c *cobra.Command, given []string) error {
			r.Path, r.Name, r.Format = given[0], given[1], images.Format(format)
			if r.Path == "" {
				return usage(c, errors.New("the file's name is empty"))
			}
			l, err := a.launcher()
			if err != nil {
				return err
			}
			tell, done := a.counting()
			r.Progress = func(what store.Stage, done, total int64) { tell(string(what)+" "+filepath.Base(r.Path), done, total) }
			i, already, err := l.ImportImage(c.Context(), r)
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
	c.Flags().StringVar(&format, "format", "", "the file's format: qcow2, raw, vmdk, vdi, vhdx or vpc (default: found out; raw must be said, or the name end in .raw)")
	c.Flags().BoolVar(&r.AllowBacking, "allow-backing", false, "follow backing files outside the file's own folder")
	c.Flags().BoolVar(&r.Replace, "replace", false, "if the name has another content, have it lead to this one")
	c.Flags().BoolVar(&asJSON, "json", false, "print an object")
	return c
}
