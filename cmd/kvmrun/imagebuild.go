package main

import (
	"errors"
	"fmt"
	"io/fs"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"github.com/spf13/cobra"

	"kvmrun/images/build"
	"kvmrun/images/store"
	"kvmrun/launcher"
)

func imageBuildCommand(a *app) *cobra.Command {
	c := &cobra.Command{
		Use:   "build",
		Short: "Make an image of a distribution's packages",
		Example: `  kvmrun image build debian web
  kvmrun start web --cloud-init on --wait ssh`,
		Args: cobra.ArbitraryArgs,
		RunE: noSuchCommand,
	}
	c.AddCommand(imageBuildDebianCommand(a))
	return c
}

// buildFlags are those of image build debian.
type buildFlags struct {
	launcher.DebianBuild
	size    string
	files   []string
	verbose bool
	asJSON  bool
}

func imageBuildDebianCommand(a *app) *cobra.Command {
	var f buildFlags
	c := &cobra.Command{
		Use:   "debian NAME",
		Short: "Make an image of Debian's packages",
		Long: `Make an image of Debian's packages: systemd, cloud-init, an SSH server, the
guest agent and what is asked for by --package, --file and --run. It boots by
BIOS and by UEFI, gets its address by DHCP, and takes its host name, accounts
and keys from a seed disk (kvmrun start --cloud-init on). Nobody can log in
without one. It has its console on the serial port, and grows with its disk.
Prints the image's name and digest.

mmdebstrap installs the packages, from where the host's own apt gets them or
from --mirror, in namespaces of its own: nothing is mounted on the host, and a
build that is interrupted or killed leaves no image. It needs memory for what
is installed, about 600 MiB, and one to three minutes.

The same packages, flags and --epoch, put together by the same tools, have the
same digest. The epoch is when the newest list of packages was published;
kvmrun image inspect shows it, as source.`,
		Example: `  kvmrun image build debian base
  kvmrun image build debian web --package nginx --file site.conf:/etc/nginx/conf.d/site.conf
  kvmrun image build debian test --run 'useradd ann' --epoch 1750000000 --replace`,
		Annotations: ends(launcher.KindExists, launcher.KindPermission, launcher.KindHost, launcher.KindImage,
			launcher.KindTimeout, launcher.KindStorage, launcher.KindFetch, launcher.KindCanceled),
		Args: args(func(_ *cobra.Command, given []string) error {
			if len(given) != 1 {
				return errors.New("name the image to make")
			}
			return nil
		}),
		RunE: func(c *cobra.Command, given []string) error {
			f.Name = given[0]
			if err := f.complete(c); err != nil {
				return err
			}
			return f.build(c, a)
		},
	}
	flags := c.Flags()
	flags.StringVar(&f.Release, "release", "", "Debian's release, by its code name (default: the host's own)")
	flags.StringVar(&f.Mirror, "mirror", "", "URL of an archive of Debian's packages (default: what the host's apt uses)")
	flags.StringArrayVar(&f.Packages, "package", nil, "install this package, too (may be repeated)")
	flags.StringArrayVar(&f.files, "file", nil, "copy a file of the host's into the image, as SRC:DST or SRC:DST:MODE (may be repeated)")
	flags.StringArrayVar(&f.Run, "run", nil, "run this shell command in the image, as root, after all else (may be repeated)")
	flags.Int64Var(&f.Epoch, "epoch", 0, "time of the build, in seconds since 1970; no file is younger (default: that of the newest list of packages)")
	flags.StringVar(&f.size, "size", "2G", "size of the disk (a number alone: MiB)")
	flags.BoolVar(&f.Replace, "replace", false, "if the name has another content, have it lead to this one")
	flags.BoolVarP(&f.verbose, "verbose", "v", false, "show what the tools say, on standard error")
	flags.BoolVar(&f.asJSON, "json", false, "print an object")
	return c
}

// complete turns flags into options.
func (f *buildFlags) complete(c *cobra.Command) (err error) {
	if f.Size, err = launcher.ParseSize(f.size); err != nil {
		return fmt.Errorf("--size: %w", err)
	}
	for _, text := range f.files {
		file, err := parseFile(text)
		if err != nil {
			return usage(c, err)
		}
		f.Files = append(f.Files, file)
	}
	return nil
}

// parseFile reads SRC:DST or SRC:DST:MODE. SRC may have colons.
func parseFile(text string) (build.File, error) {
	part := strings.Split(text, ":")
	f := build.File{Mode: 0o644}
	if last := len(part) - 1; last >= 2 && !strings.HasPrefix(part[last], "/") {
		mode, err := strconv.ParseUint(part[last], 8, 12)
		if err != nil {
			return f, fmt.Errorf("--file %.200q: %.20q is no mode like 0644", text, part[last])
		}
		f.Mode, part = fs.FileMode(mode), part[:last]
	}
	last := len(part) - 1
	if last < 1 || part[last] == "" || strings.Join(part[:last], "") == "" {
		return f, fmt.Errorf("--file %.200q is not SRC:DST or SRC:DST:MODE", text)
	}
	f.From, f.To = strings.Join(part[:last], ":"), part[last]
	return f, nil
}

func (f *buildFlags) build(c *cobra.Command, a *app) error {
	l, err := a.launcher()
	if err != nil {
		return err
	}
	done := f.report(a)
	i, already, err := l.BuildDebian(c.Context(), f.DebianBuild)
	done()
	if err != nil {
		return err
	}
	if already {
		a.say("image %s had this content already", i.Name)
	}
	if f.asJSON {
		return a.print(i)
	}
	_, err = fmt.Fprintf(a.out, "%s %s\n", i.Name, i.Digest)
	return err
}

// report has the build tell what it does: everything with --verbose, otherwise the
// step that it is at, on a terminal.
func (f *buildFlags) report(a *app) (done func()) {
	if f.verbose {
		f.Log = func(line string) { a.say("%s", line) }
		return func() {}
	}
	var now atomic.Value
	now.Store("beginning")
	f.Progress = func(what string) { now.Store(what) }
	f.Importing = func(what store.Stage, _, _ int64) { now.Store(string(what) + " the disk") }
	return a.show(func(begin time.Time) string {
		return fmt.Sprintf("%s … %d s", now.Load(), int(time.Since(begin).Seconds()))
	})
}
