package main

import (
	"fmt"
	"runtime"

	"github.com/spf13/cobra"
)

// version is set when kvmrun is built.
var version = "unknown"

func versionCommand(a *app) *cobra.Command {
	var asJSON bool
	c := &cobra.Command{
		Use:     "version",
		Short:   "Print kvmrun's version",
		Example: "  kvmrun version --json",
		Args:    args(noArgs),
		RunE: func(*cobra.Command, []string) error {
			if asJSON {
				return a.print(map[string]string{"version": version, "go": runtime.Version()})
			}
			_, err := fmt.Fprintf(a.out, "kvmrun %s (%s)\n", version, runtime.Version())
			return err
		},
	}
	c.Flags().BoolVar(&asJSON, "json", false, "print an object")
	return c
}
