package main

import (
	"errors"
	"fmt"
	"path/filepath"

	"github.com/spf13/cobra"

	"kvmrun/images"
	"kvmrun/images/fetch"
	"kvmrun/images/store"
	"kvmrun/launcher"
)

func imageImportCommand(a *app) *cobra.Command {
	var r launcher.ImageImport
	var format, checksum string
	var asJSON bool
	c := &cobra.Command{
		Use:   "import FILE|URL NAME",
		Short: "Make an image of a file",
		Long: `Make an image of a file: qcow2, raw, VMDK, VDI, VHDX or VHD (vpc). The file is
read and left as it is; one packed by xz, zstd, gzip or bzip2 is unpacked. A
qcow2 file that is a disk by itself is kept byte for byte; everything else
becomes one, with backing files and without snapshots. Prints the image's name
and digest. If the name has this content already, that is said, and all is well.
Any number of imports may run at the same time; one that is interrupted or
killed leaves no image.

What comes by http or https is held against a checksum: --checksum gives it, or
--checksums a file that lists it, as SHA256SUMS does. --checksums auto looks for
SHA256SUMS and SHA512SUMS beside the image. Such a list must come by https or be
a file of this host's. Imports of one URL at the same time share a download, and
one that is interrupted is gone on with by the next.

qemu-img converts, as a user without rights, where no network is. It opens no
file that an image's header names: a VMDK whose data lie in several files, or
one that has only what differs from another, is refused. The backing files of a
qcow2 image must lie in its own folder, unless --allow-backing is said.`,
		Example: `  kvmrun image import debian-12.qcow2 debian
  kvmrun image import --format raw /dev/vg/web web
  kvmrun image import --checksums auto https://HOST/debian-13-amd64.qcow2 debian
  kvmrun image import --replace build/disk.raw nightly`,
		Annotations: ends(launcher.KindExists, launcher.KindPermission, launcher.KindHost, launcher.KindImage,
			launcher.KindImageInUse, launcher.KindTimeout, launcher.KindStorage, launcher.KindFetch, launcher.KindCanceled),
		Args: args(func(_ *cobra.Command, given []string) error {
			if len(given) != 2 {
				return errors.New("name the file and the image to make of it")
			}
			return nil
		}),
		RunE: func(c *cobra.Command, given []string) error {
			r.Path, r.Name, r.Format, r.Checksum = given[0], given[1], images.Format(format), fetch.Digest(checksum)
			switch {
			case r.Path == "":
				return usage(c, errors.New("the file's name is empty"))
			case r.Checksum != "" && r.Checksums != "":
				return usage(c, errors.New("--checksum and --checksums say the same: give one of them"))
			}
			l, err := a.launcher()
			if err != nil {
				return err
			}
			tell, done := a.counting()
			file := filepath.Base(r.Path)
			if fetch.IsURL(r.Path) {
				file = r.Name // a URL is long, and may have a password in it
			}
			r.Progress = func(what store.Stage, done, total int64) { tell(string(what)+" "+file, done, total) }
			r.Fetching = func(what fetch.Step, done, total int64) { tell(string(what)+" "+file, done, total) }
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
	c.Flags().StringVar(&checksum, "checksum", "", "the checksum of the file as it lies there: sha256:HEX or sha512:HEX")
	c.Flags().StringVar(&r.Checksums, "checksums", "", "a file or URL that lists checksums, as SHA256SUMS does, or auto to look for it beside the image")
	c.Flags().BoolVar(&r.ChecksumsByHTTP, "checksums-by-http", false, "take that list by plain http: it proves nothing against who can change what is sent")
	c.Flags().BoolVar(&r.AllowBacking, "allow-backing", false, "follow backing files outside the file's own folder")
	c.Flags().BoolVar(&r.Replace, "replace", false, "if the name has another content, have it lead to this one")
	c.Flags().BoolVar(&asJSON, "json", false, "print an object")
	return c
}
