package main

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"kvmrun/launcher"
)

func cpCommand(a *app) *cobra.Command {
	var by string
	var verbose bool
	c := &cobra.Command{
		Use:   "cp SOURCE NAME:DEST | NAME:SOURCE DEST",
		Short: "Copy files into a VM's guest, or out of it",
		Long: `Copy a file, or a folder and all that is in it, from this host into a VM's guest
or from there to here: into DEST if that is a folder, otherwise under that name,
in place of a file that has it. Paths in the guest that do not begin with a
slash begin at the home directory. A path of this host's that has a colon in it
is written with a slash before that, like ./a:b.

Modes, times and symbolic links within are kept; SOURCE itself is followed. The
files belong to the account by which they are written. Of what comes out of a
guest, setuid and the like are not kept, and nothing gets out of DEST, whatever
the guest sends.

It is done by tar in the guest, by the way that kvmrun exec would take (--by).
By the guest's agent that is up to 4 MiB in, and up to 16 MiB out.`,
		Example: `  kvmrun cp site web:/srv/
  kvmrun cp nginx.conf web:/etc/nginx/nginx.conf
  kvmrun cp web:/var/log/syslog .`,
		Annotations: ends(launcher.KindNotFound, launcher.KindPermission, launcher.KindHost, launcher.KindStorage,
			launcher.KindEnded, launcher.KindGuest, launcher.KindCanceled),
		Args: args(fromAndTo),
		RunE: func(c *cobra.Command, given []string) error {
			l, err := a.launcher()
			if err != nil {
				return err
			}
			o := launcher.CopyOptions{By: launcher.Way(by)}
			if verbose {
				o.Note = a.say
			}
			tell, done := a.counting()
			defer done()
			o.Progress = func(copied, total int64) { tell("copying", copied, total) }
			return copyFiles(c.Context(), l, given[0], given[1], o)
		},
	}
	c.Flags().StringVar(&by, "by", string(launcher.WayAuto), "the way into the guest: auto|agent|ssh")
	c.Flags().BoolVarP(&verbose, "verbose", "v", false, "say which way was taken, and why")
	_ = c.RegisterFlagCompletionFunc("by", cobra.FixedCompletions([]string{"auto", "agent", "ssh"}, cobra.ShellCompDirectiveNoFileComp))
	return c
}

// copyFiles copies in or out.
func copyFiles(ctx context.Context, l *launcher.Launcher, from, to string, o launcher.CopyOptions) error {
	if name, path, ok := inGuest(from); ok {
		return l.CopyOut(ctx, name, path, to, o)
	}
	name, path, _ := inGuest(to)
	return l.CopyIn(ctx, name, from, path, o)
}

// fromAndTo wants two paths of which one is in a guest.
func fromAndTo(_ *cobra.Command, given []string) error {
	if len(given) != 2 {
		return fmt.Errorf("it takes a source and a destination, and got %d words", len(given))
	}
	_, _, from := inGuest(given[0])
	_, _, to := inGuest(given[1])
	switch {
	case given[0] == "" || given[1] == "":
		return errors.New("a path is empty")
	case from && to:
		return errors.New("both paths are in guests; copy to this host first")
	case !from && !to:
		return errors.New("no path is in a guest; write one as NAME:PATH")
	}
	return nil
}

// inGuest reads NAME:PATH. Where a slash comes first, it is a path of this host's.
func inGuest(text string) (name, path string, ok bool) {
	name, path, ok = strings.Cut(text, ":")
	return name, path, ok && !strings.Contains(name, "/")
}
