package main

import (
	"bytes"
	"context"
	"errors"
	"image/png"
	"time"

	"github.com/google/renameio/v2"
	"github.com/spf13/cobra"

	"kvmrun/launcher"
)

func screenshotCommand(a *app) *cobra.Command {
	var timeout time.Duration
	c := &cobra.Command{
		Use:   "screenshot NAME FILE",
		Short: "Save what is on a VM's screen as a PNG file",
		Long: `Save what is on the VM's screen as a PNG file, which is replaced if it is there;
- is standard output. The VM must have been started with --vnc.`,
		Example: `  kvmrun screenshot web web.png
  kvmrun screenshot web - | display`,
		Annotations: ends(launcher.KindNotFound, launcher.KindPermission, launcher.KindQEMU,
			launcher.KindTimeout, launcher.KindStorage, launcher.KindEnded, launcher.KindCanceled),
		Args: args(func(_ *cobra.Command, given []string) error {
			if len(given) != 2 || given[1] == "" {
				return errors.New("name the VM and the file, or - for standard output")
			}
			return nil
		}),
		ValidArgsFunction: func(c *cobra.Command, given []string, text string) ([]string, cobra.ShellCompDirective) {
			if len(given) > 0 {
				return []string{"png"}, cobra.ShellCompDirectiveFilterFileExt
			}
			return a.completeNames(c, given, text)
		},
		RunE: func(c *cobra.Command, given []string) error {
			if timeout <= 0 {
				return usage(c, errors.New("--timeout must be above 0"))
			}
			ctx, cancel := context.WithTimeout(c.Context(), timeout)
			defer cancel()
			return a.screenshot(ctx, given[0], given[1])
		},
	}
	c.Flags().DurationVar(&timeout, "timeout", 30*time.Second, "how long to wait for the monitor and the picture")
	return c
}

// screenshot writes the picture to a file, whole or not at all.
func (a *app) screenshot(ctx context.Context, name, path string) error {
	l, err := a.launcher()
	if err != nil {
		return err
	}
	picture, err := l.Screenshot(ctx, name)
	if err != nil {
		return err
	}
	var file bytes.Buffer
	if err := png.Encode(&file, picture); err != nil {
		return err
	}
	if path == "-" {
		_, err := a.out.Write(file.Bytes())
		return err
	}
	if err := renameio.WriteFile(path, file.Bytes(), 0o644); err != nil {
		return &launcher.Error{Kind: kindOutput, Op: "write " + path, Err: err}
	}
	return nil
}
